import { randomUUID } from 'node:crypto';
import { workDir } from '../environment/places.ts';
import { badRequest, fail } from '../errors.ts';
import { contextEndedByRestart, contextsEndedByRestart, forgetEndedContext } from '../sessions/orphans.ts';
import { Context, type ContextInfo } from './context.ts';

/** Wire: the context of runs that name none. It is always there and not listed. */
export const DEFAULT_CONTEXT = 'default';

const defaultContext = new Context(DEFAULT_CONTEXT, workDir);
const contexts = new Map<string, Context>();

/** Runs that name no context seldom need what earlier ones left, so they go on, and are told once that it is gone. */
const DEFAULT_STATE_LOST = 'the toolbox was restarted: what earlier runs of the default context defined is lost\n';
if (contextEndedByRestart(DEFAULT_CONTEXT)) defaultContext.tellNext(DEFAULT_STATE_LOST, () => forgetEndedContext(DEFAULT_CONTEXT));

/** @param id undefined or empty: the default one */
export function findContext(id: string | undefined): Context | undefined {
  return id === undefined || id === '' || id === DEFAULT_CONTEXT ? defaultContext : contexts.get(id);
}

/** Those that an earlier toolbox had when it died come first, not active: clients would look for them in vain. */
export const contextInfos = (): readonly ContextInfo[] => [
  ...contextsEndedByRestart().filter(({ id }) => id !== DEFAULT_CONTEXT), ...Array.from(contexts.values(), ({ info }) => info),
];

export function createContext(cwd: string): Context {
  const context = new Context(randomUUID(), cwd);
  contexts.set(context.id, context);
  context.announce();
  return context;
}

export function deleteContext(id: string): void {
  if (id === DEFAULT_CONTEXT) throw badRequest('the default context cannot be deleted');
  const context = contexts.get(id);
  if (context === undefined && forgetEndedContext(id)) return;
  if (context === undefined) throw fail('NOT_FOUND', `not found: context not found: ${id}`);
  contexts.delete(id);
  context.delete();
}
