import { randomUUID } from 'node:crypto';
import { workDir } from '../environment/places.ts';
import { badRequest, fail } from '../errors.ts';
import { Context } from './context.ts';

/** Wire: the context of runs that name none. It is always there and not listed. */
export const DEFAULT_CONTEXT = 'default';

const defaultContext = new Context(DEFAULT_CONTEXT, workDir);
const contexts = new Map<string, Context>();

/** @param id undefined or empty: the default one */
export function findContext(id: string | undefined): Context | undefined {
  return id === undefined || id === '' || id === DEFAULT_CONTEXT ? defaultContext : contexts.get(id);
}

export const listedContexts = (): readonly Context[] => [...contexts.values()];

export function createContext(cwd: string): Context {
  const context = new Context(randomUUID(), cwd);
  contexts.set(context.id, context);
  return context;
}

export function deleteContext(id: string): void {
  if (id === DEFAULT_CONTEXT) throw badRequest('the default context cannot be deleted');
  const context = contexts.get(id);
  if (context === undefined) throw fail('NOT_FOUND', `not found: context not found: ${id}`);
  contexts.delete(id);
  context.delete();
}
