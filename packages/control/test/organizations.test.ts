import { AvailableSandboxClassDto, OrganizationDto, OrganizationRoleDto, OrganizationUsageDto, OrganizationUserDto, RegionDto, UserDto } from '@paddock/contract';
import { Type } from 'typebox';
import { Check } from 'typebox/value';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestControl, startTestDatabase, type TestControl, type TestDatabase } from './support.ts';

let database: TestDatabase;
let control: TestControl;
let id: string;
beforeAll(async () => {
  database = await startTestDatabase();
  control = await startTestControl(await database.create());
  id = (await control.call('GET', '/api/organizations')).body[0].id;
});
afterAll(async () => {
  await control?.close();
  await database?.stop();
});

describe('organizations', () => {
  test('the list holds the personal one', async () => {
    const reply = await control.call('GET', '/api/organizations');
    expect(Check(Type.Array(OrganizationDto), reply.body)).toBe(true);
    expect(reply.body).toHaveLength(1);
    expect(reply.body[0]).toMatchObject({ name: 'Personal', personal: true, createdBy: 'daytona-admin', suspended: false, defaultRegionId: 'us', otelConfig: null, suspendedAt: null });
  });

  test('one by id; the id may be in capitals', async () => {
    expect((await control.call('GET', `/api/organizations/${id}`)).body.id).toBe(id);
    expect((await control.call('GET', `/api/organizations/${id.toUpperCase()}`)).status).toBe(200);
  });

  test('members', async () => {
    const reply = await control.call('GET', `/api/organizations/${id}/users`);
    expect(Check(Type.Array(OrganizationUserDto), reply.body)).toBe(true);
    expect(reply.body).toMatchObject([{ userId: 'daytona-admin', organizationId: id, role: 'owner', assignedRoles: [] }]);
  });

  test('the eight global roles with their fixed ids', async () => {
    const reply = await control.call('GET', `/api/organizations/${id}/roles`);
    expect(Check(Type.Array(OrganizationRoleDto), reply.body)).toBe(true);
    expect(reply.body).toHaveLength(8);
    expect(reply.body[0]).toMatchObject({ id: '00000000-0000-0000-0000-000000000001', name: 'Developer', permissions: ['write:sandboxes'], isGlobal: true });
    expect(reply.body[4].permissions).toHaveLength(15);
  });

  test('usage counts what the sandboxes domain reports', async () => {
    const empty = await control.call('GET', `/api/organizations/${id}/usage`);
    expect(empty.body).toEqual({ regionUsage: [], totalSnapshotQuota: 100, currentSnapshotUsage: 0, totalVolumeQuota: 100, currentVolumeUsage: 0 });
    control.context.organizations.useUsageSource(async () => [{ regionId: 'us', used: { cpu: 3, memoryGiB: 5, diskGiB: 11 }, capacity: { cpu: 8, memoryGiB: 32, diskGiB: 100 } }]);
    const reply = await control.call('GET', `/api/organizations/${id}/usage`);
    expect(Check(OrganizationUsageDto, reply.body)).toBe(true);
    expect(reply.body.regionUsage[0]).toMatchObject({ regionId: 'us', sandboxClass: 'container', totalCpuQuota: 8, currentCpuUsage: 3, currentMemoryUsage: 5, currentDiskUsage: 11 });
  });

  test('available classes', async () => {
    const reply = await control.call('GET', `/api/organizations/${id}/available-sandbox-classes`);
    expect(Check(Type.Array(AvailableSandboxClassDto), reply.body)).toBe(true);
    expect(reply.body).toEqual([{ regionId: 'us', sandboxClass: 'container', gpuAvailable: false }]);
  });

  test('every read route needs a credential and refuses another organization', async () => {
    for (const path of ['', '/usage', '/users', '/roles', '/available-sandbox-classes']) {
      expect((await control.call('GET', `/api/organizations/${id}${path}`, { key: null })).status, path).toBe(401);
      expect((await control.call('GET', `/api/organizations/22222222-2222-4222-8222-222222222222${path}`)).status, path).toBe(403);
    }
    expect((await control.call('GET', '/api/organizations', { key: null })).status).toBe(401);
  });
});

describe('users', () => {
  test('me', async () => {
    const reply = await control.call('GET', '/api/users/me');
    expect(Check(UserDto, reply.body)).toBe(true);
    expect(reply.body.id).toBe('daytona-admin');
    expect((await control.call('GET', '/api/users/me', { key: null })).status).toBe(401);
  });
});

describe('regions', () => {
  test('the shared ones are public', async () => {
    const reply = await control.call('GET', '/api/shared-regions', { key: null });
    expect(reply.status).toBe(200);
    expect(Check(Type.Array(RegionDto), reply.body)).toBe(true);
    expect(reply.body).toMatchObject([{ id: 'us', name: 'us', regionType: 'shared', organizationId: null, proxyUrl: null }]);
  });

  test('the organization sees them too, all and one', async () => {
    expect((await control.call('GET', '/api/regions')).body).toMatchObject([{ id: 'us' }]);
    expect((await control.call('GET', '/api/regions/us')).body.id).toBe('us');
    expect((await control.call('GET', '/api/regions', { key: null })).status).toBe(401);
  });

  test('an unknown one is 404', async () => {
    const reply = await control.call('GET', '/api/regions/mars');
    expect(reply.status).toBe(404);
    expect(reply.body.message).toBe('Region not found');
  });
});
