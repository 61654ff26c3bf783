import type { FastifyInstance } from 'fastify';

declare module 'fastify' {
  interface FastifyInstance {
    /** Whether a route of this scope serves the method and path, whatever its parameters are called. */
    hasOperation(method: string, path: string): boolean;
  }
}

export function addOperationIndex(app: FastifyInstance): void {
  const known = new Set<string>();
  app.addHook('onRoute', (route) => {
    for (const method of [route.method].flat()) known.add(`${method} ${shape(route.url)}`);
  });
  app.decorate('hasOperation', function (this: FastifyInstance, method: string, path: string) {
    return known.has(`${method} ${shape(this.prefix + path)}`);
  });
}

function shape(path: string): string {
  return path.replace(/:\w+/g, ':');
}
