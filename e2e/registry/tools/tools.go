//go:build tools

// Package tools names the programs that e2e/registry builds from the Go module proxy: go.sum pins every byte of them.
package tools

import (
	_ "github.com/google/go-containerregistry/cmd/crane"
	_ "github.com/opencontainers/distribution-spec/conformance"
)
