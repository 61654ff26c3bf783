// What the CLI does with push access (minio client, host of storageUrl only), and what else the library can. Prints what it saw as JSON.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

type access struct {
	Endpoint, Bucket, Prefix, AccessKey, SecretKey, SessionToken string
}

func main() {
	var to access
	must(json.Unmarshal([]byte(os.Getenv("ACCESS")), &to))
	host := strings.TrimPrefix(to.Endpoint, "http://")
	client, err := minio.New(host, &minio.Options{Creds: credentials.NewStaticV4(to.AccessKey, to.SecretKey, to.SessionToken)})
	must(err)
	background := context.Background()
	saw := map[string]any{}

	// The CLI's way: location, listing, an empty marker, the tar.
	_, err = client.GetBucketLocation(background, to.Bucket)
	must(err)
	folder := to.Prefix + "hash/"
	count := func() int {
		found := 0
		for object := range client.ListObjects(background, to.Bucket, minio.ListObjectsOptions{Prefix: folder}) {
			must(object.Err)
			found++
		}
		return found
	}
	saw["before"] = count()
	_, err = client.PutObject(background, to.Bucket, folder, bytes.NewReader(nil), 0, minio.PutObjectOptions{ContentType: "application/directory"})
	must(err)
	content := make([]byte, 20<<20)
	_, err = rand.Read(content)
	must(err)
	_, err = client.PutObject(background, to.Bucket, folder+"context.tar", bytes.NewReader(content), -1, minio.PutObjectOptions{ContentType: "application/x-tar", PartSize: 8 << 20})
	must(err)
	saw["after"] = count()
	object, err := client.GetObject(background, to.Bucket, folder+"context.tar", minio.GetObjectOptions{})
	must(err)
	back, err := io.ReadAll(object)
	must(err)
	saw["same"] = bytes.Equal(content, back)

	// Signed chunks, with and without a trailing checksum.
	trailing, err := minio.New(host, &minio.Options{Creds: credentials.NewStaticV4(to.AccessKey, to.SecretKey, to.SessionToken), TrailingHeaders: true})
	must(err)
	put := func(name string, client *minio.Client, options minio.PutObjectOptions) {
		_, err := client.PutObject(background, to.Bucket, to.Prefix+name, io.LimitReader(bytes.NewReader(content), 300_000), 300_000, options)
		must(err)
		stat, err := client.StatObject(background, to.Bucket, to.Prefix+name, minio.StatObjectOptions{})
		must(err)
		saw[name] = stat.Size
	}
	put("signed", client, minio.PutObjectOptions{})
	put("trailing", trailing, minio.PutObjectOptions{Checksum: minio.ChecksumCRC32C})
	put("default", trailing, minio.PutObjectOptions{})
	_, err = client.StatObject(background, to.Bucket, "elsewhere/key", minio.StatObjectOptions{})
	saw["elsewhere"] = minio.ToErrorResponse(err).Code
	_, err = client.StatObject(background, to.Bucket, to.Prefix+"none", minio.StatObjectOptions{})
	saw["none"] = minio.ToErrorResponse(err).Code
	text, err := json.Marshal(saw)
	must(err)
	fmt.Println(string(text))
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
