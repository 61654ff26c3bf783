import { DESIRED_STATES, SANDBOX_STATES } from '@paddock/contract';
import { expect, test } from 'vitest';
import { canMove, INITIAL, isGone, isSettled, MOVES, nextStep, PENDING_STATES, PENDING_TIMEOUT_MS, shownState, stateAfter, violations, type Trigger } from '../src/sandboxes/states.ts';

/** The table of moves, enumerated. */
const triggers = Object.keys(MOVES) as Trigger[];

test('every state can be destroyed, and only destroyed ones cannot', () => {
  for (const state of SANDBOX_STATES) expect(canMove('destroy', state), state).toBe(state !== 'destroyed' && state !== 'destroying');
  expect(nextStep('destroying', 'destroyed')).toEqual({ do: 'delete' });
  for (const state of SANDBOX_STATES) {
    if (state !== 'destroyed') expect(isSettled(state, 'destroyed'), state).toBe(false);
  }
});

test('nothing leaves destroyed, and only destroying leads there', () => {
  for (const trigger of triggers) {
    expect(canMove(trigger, 'destroyed'), trigger).toBe(false);
    if (MOVES[trigger].to === 'destroyed') expect(MOVES[trigger].from).toEqual(['destroying']);
  }
});

test('every pending state has work, an end by success, and an end by time unless it is retried for ever', () => {
  for (const state of PENDING_STATES) {
    const desired = state === 'stopping' ? 'stopped' : state === 'destroying' ? 'destroyed' : state === 'archiving' ? 'archived' : 'started';
    expect(nextStep(state, desired), state).toHaveProperty('do');
    const waits = ['pending_build', 'building_snapshot', 'pulling_snapshot'].includes(state);
    const next = waits ? 'creating' : state === 'restoring' ? 'starting' : desired;
    const onward = triggers.filter((trigger) => canMove(trigger, state) && stateAfter(trigger, desired) === next);
    expect(onward, state).toHaveLength(1);
    if (state === 'destroying') continue;
    const ends = { pending_build: 'buildFailed', building_snapshot: 'buildFailed', resizing: 'settle', snapshotting: 'settle', archiving: 'archiveFailed' } as const;
    expect(canMove(ends[state as keyof typeof ends] ?? 'timeout', state), state).toBe(true);
    // An archive that is stuck keeps nobody from starting or deleting the sandbox.
    expect(PENDING_TIMEOUT_MS[state] !== undefined, state).toBe(state !== 'archiving');
  }
  expect(PENDING_TIMEOUT_MS.destroying).toBeUndefined();
});

test('a sandbox is after a resize or a snapshot what it was before', () => {
  expect(stateAfter('settle', 'started')).toBe('started');
  expect(stateAfter('settle', 'stopped')).toBe('stopped');
  expect(nextStep('archived', 'archived')).toBeNull();
});

test('from each reachable state the wanted end is reached in finitely many steps when everything succeeds', () => {
  const succeeded: Record<string, Trigger> = { creating: 'created', starting: 'started', stopping: 'stopped', destroying: 'destroyed' };
  for (const from of ['creating', 'starting', 'started', 'stopping', 'stopped'] as const) {
    for (const wanted of ['started', 'stopped', 'destroyed'] as const) {
      let [state, desired] = [from as (typeof SANDBOX_STATES)[number], wanted as (typeof DESIRED_STATES)[number]];
      for (let steps = 0; steps < 6; steps++) {
        const step = nextStep(state, desired);
        if (!step) break;
        const trigger = 'begin' in step ? step.begin : succeeded[state]!;
        expect(canMove(trigger, state), `${state} ${trigger}`).toBe(true);
        const move = MOVES[trigger];
        [state, desired] = [stateAfter(trigger, desired), move.desired === 'keep' ? desired : move.desired];
      }
      expect(state, `${from} → ${wanted}`).toBe(wanted);
    }
  }
});

test('the table as it is: a new move is a decision to be made here too', () => {
  const rows = triggers.flatMap((trigger) => (trigger === 'destroy' ? [] : MOVES[trigger].from.map((from) => `${from} ─${trigger}▶ ${MOVES[trigger].to}`)));
  expect(rows.sort()).toEqual([
    'creating ─created▶ started', 'creating ─fail▶ error', 'creating ─timeout▶ error', 'destroying ─destroyed▶ destroyed', 'error ─recover▶ starting',
    'started ─claim▶ started', 'started ─claimUnready▶ starting', 'started ─exited▶ stopped', 'started ─lost▶ error', 'started ─stop▶ stopping', 'starting ─fail▶ error', 'starting ─lost▶ error',
    'starting ─started▶ started', 'starting ─timeout▶ error', 'stopped ─lost▶ error', 'stopped ─start▶ starting', 'stopping ─fail▶ error', 'stopping ─lost▶ error',
    'stopping ─stopped▶ stopped', 'stopping ─timeout▶ error',
    'pending_build ─building▶ building_snapshot', 'creating ─pulling▶ pulling_snapshot', 'pending_build ─imageReady▶ creating', 'building_snapshot ─imageReady▶ creating',
    'pulling_snapshot ─imageReady▶ creating', 'pending_build ─buildFailed▶ build_failed', 'building_snapshot ─buildFailed▶ build_failed',
    'pulling_snapshot ─fail▶ error', 'pulling_snapshot ─timeout▶ error',
    'started ─resize▶ resizing', 'stopped ─resize▶ resizing', 'started ─snapshot▶ snapshotting', 'stopped ─snapshot▶ snapshotting',
    'resizing ─settle▶ desired', 'snapshotting ─settle▶ desired', 'stopped ─archive▶ archiving', 'archiving ─archived▶ archived', 'archiving ─archiveFailed▶ stopped',
    'archiving ─start▶ starting', 'archived ─restore▶ restoring', 'error ─restore▶ restoring', 'restoring ─restored▶ starting', 'restoring ─fail▶ error', 'restoring ─timeout▶ error',
    'error ─recoverStopped▶ stopping', 'error ─recoverArchived▶ archived',
  ].sort());
  expect(INITIAL).toEqual({ state: 'creating', desiredState: 'started' });
});

test('the state clients see runs ahead of the row', () => {
  expect(shownState('unknown', 'started')).toBe('creating');
  expect(shownState('started', 'stopped')).toBe('stopping');
  expect(shownState('started', 'destroyed')).toBe('destroying');
  expect(shownState('stopped', 'started')).toBe('starting');
  expect(shownState('stopped', 'destroyed')).toBe('destroying');
  expect(shownState('stopped', 'archived')).toBe('archiving');
  expect(shownState('archived', 'started')).toBe('restoring');
  expect(shownState('error', 'started')).toBe('error');
  expect(isGone('destroyed', 'destroyed')).toBe(true);
  expect(isGone('error', 'destroyed')).toBe(true);
  expect(isGone('error', 'started')).toBe(false);
});

test('rows that cannot be are named', () => {
  const row = { state: 'started', desiredState: 'started', runnerId: 'r', errorReason: null } as const;
  expect(violations(row)).toEqual([]);
  expect(violations({ ...row, state: 'destroyed' })).toHaveLength(2);
  expect(violations({ ...row, state: 'error' })).toEqual(['error without a reason']);
});
