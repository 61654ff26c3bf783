import type { Migration } from '../migrate.ts';

export const core: Migration = {
  name: '0001_core',
  sql: `
CREATE TABLE settings (
  name  text PRIMARY KEY,
  value text NOT NULL
);

CREATE TABLE regions (
  id              text PRIMARY KEY,
  name            text NOT NULL,
  organization_id uuid,
  region_type     text NOT NULL CHECK (region_type IN ('shared', 'dedicated', 'custom')),
  enforce_quotas  boolean NOT NULL DEFAULT false,
  proxy_url       text,
  ssh_gateway_url text,
  snapshot_manager_url text,
  otel_endpoint   text,
  created_at      timestamptz NOT NULL DEFAULT now(),
  updated_at      timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX regions_name ON regions (coalesce(organization_id, '00000000-0000-0000-0000-000000000000'), name);

CREATE TABLE users (
  id             text PRIMARY KEY,
  name           text NOT NULL,
  email          text NOT NULL,
  email_verified boolean NOT NULL DEFAULT false,
  role           text NOT NULL DEFAULT 'user' CHECK (role IN ('user', 'admin')),
  created_at     timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE organizations (
  id         uuid PRIMARY KEY,
  name       text NOT NULL,
  created_by text NOT NULL REFERENCES users (id),
  personal   boolean NOT NULL DEFAULT false,
  default_region_id text REFERENCES regions (id),
  suspended  boolean NOT NULL DEFAULT false,
  suspended_at timestamptz,
  suspension_reason text,
  suspended_until timestamptz,
  suspension_cleanup_grace_period_hours integer NOT NULL DEFAULT 24,
  max_cpu_per_sandbox    integer NOT NULL,
  max_memory_per_sandbox integer NOT NULL,
  max_disk_per_sandbox   integer NOT NULL,
  snapshot_quota integer NOT NULL,
  volume_quota   integer NOT NULL,
  secret_quota   integer NOT NULL,
  max_secrets_per_sandbox integer NOT NULL,
  snapshot_deactivation_timeout_minutes integer NOT NULL,
  sandbox_limited_network_egress boolean NOT NULL DEFAULT false,
  preview_warning_enabled boolean NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX organizations_personal ON organizations (created_by) WHERE personal;

CREATE TABLE organization_roles (
  id              uuid PRIMARY KEY,
  organization_id uuid REFERENCES organizations (id) ON DELETE CASCADE,
  name            text NOT NULL,
  description     text NOT NULL,
  permissions     text[] NOT NULL,
  is_global       boolean NOT NULL DEFAULT false,
  created_at      timestamptz NOT NULL DEFAULT now(),
  updated_at      timestamptz NOT NULL DEFAULT now()
);
INSERT INTO organization_roles (id, name, description, permissions, is_global) VALUES
  ('00000000-0000-0000-0000-000000000001', 'Developer', 'Creates and runs sandboxes', '{write:sandboxes}', true),
  ('00000000-0000-0000-0000-000000000002', 'Sandboxes Admin', 'Creates, runs and deletes sandboxes', '{write:sandboxes,delete:sandboxes}', true),
  ('00000000-0000-0000-0000-000000000003', 'Snapshots Admin', 'Creates and deletes snapshots', '{write:snapshots,delete:snapshots}', true),
  ('00000000-0000-0000-0000-000000000004', 'Registries Admin', 'Creates and deletes registries', '{write:registries,delete:registries}', true),
  ('00000000-0000-0000-0000-000000000005', 'Super Admin', 'Everything inside the organization', '{write:registries,delete:registries,write:snapshots,delete:snapshots,write:sandboxes,delete:sandboxes,read:volumes,write:volumes,delete:volumes,write:regions,delete:regions,read:runners,write:runners,delete:runners,read:audit_logs}', true),
  ('00000000-0000-0000-0000-000000000006', 'Volumes Admin', 'Reads, creates and deletes volumes', '{read:volumes,write:volumes,delete:volumes}', true),
  ('00000000-0000-0000-0000-000000000007', 'Auditor', 'Reads the audit log', '{read:audit_logs}', true),
  ('00000000-0000-0000-0000-000000000008', 'Infrastructure Admin', 'Manages regions and runners', '{write:regions,delete:regions,read:runners,write:runners,delete:runners}', true);

CREATE TABLE organization_users (
  organization_id uuid NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
  user_id         text NOT NULL REFERENCES users (id),
  role            text NOT NULL CHECK (role IN ('owner', 'member')),
  role_ids        uuid[] NOT NULL DEFAULT '{}',
  created_at      timestamptz NOT NULL DEFAULT now(),
  updated_at      timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, user_id)
);
CREATE INDEX organization_users_user ON organization_users (user_id);

-- A key's value is never stored: hash is sha256 in hex of the whole value.
CREATE TABLE api_keys (
  organization_id uuid NOT NULL,
  user_id         text NOT NULL,
  name            text NOT NULL,
  hash            text NOT NULL UNIQUE,
  prefix          text NOT NULL,
  suffix          text NOT NULL,
  permissions     text[] NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT now(),
  last_used_at    timestamptz,
  expires_at      timestamptz,
  PRIMARY KEY (organization_id, user_id, name),
  FOREIGN KEY (organization_id, user_id) REFERENCES organization_users (organization_id, user_id) ON DELETE CASCADE
);

CREATE TABLE snapshots (
  id              uuid PRIMARY KEY,
  organization_id uuid NOT NULL REFERENCES organizations (id),
  general         boolean NOT NULL DEFAULT false,
  hide_from_users boolean NOT NULL DEFAULT false,
  name            text NOT NULL,
  -- Name of the image in the runners' stores.
  image           text NOT NULL,
  state           text NOT NULL CHECK (state IN ('building', 'pending', 'pulling', 'snapshotting', 'active', 'inactive', 'error', 'build_failed', 'removing')),
  error_reason    text,
  size_bytes      bigint,
  entrypoint      text[],
  cpu             integer NOT NULL,
  gpu             integer NOT NULL DEFAULT 0,
  memory_gib      integer NOT NULL,
  disk_gib        integer NOT NULL,
  sandbox_class   text NOT NULL DEFAULT 'container',
  region_ids      text[] NOT NULL,
  source_sandbox_id text,
  created_at      timestamptz NOT NULL DEFAULT now(),
  updated_at      timestamptz NOT NULL DEFAULT now(),
  last_used_at    timestamptz
);
CREATE UNIQUE INDEX snapshots_name ON snapshots (organization_id, name);
CREATE INDEX snapshots_image ON snapshots (image);
`,
};
