import { ToolboxError } from './errors.ts';
import type { Exchange } from './http/exchange.ts';
import type { Route } from './http/router.ts';

/** Operations of the toolbox's specification that have no code yet. They answer 501 in the error envelope. */
const OPERATIONS = `
POST   /computeruse/a11y/find
POST   /computeruse/a11y/node/focus
POST   /computeruse/a11y/node/invoke
POST   /computeruse/a11y/node/value
GET    /computeruse/a11y/tree
GET    /computeruse/display/info
GET    /computeruse/display/windows
POST   /computeruse/keyboard/hotkey
POST   /computeruse/keyboard/key
POST   /computeruse/keyboard/type
POST   /computeruse/mouse/click
POST   /computeruse/mouse/drag
POST   /computeruse/mouse/move
GET    /computeruse/mouse/position
POST   /computeruse/mouse/scroll
GET    /computeruse/process-status
GET    /computeruse/process/{processName}/errors
GET    /computeruse/process/{processName}/logs
POST   /computeruse/process/{processName}/restart
GET    /computeruse/process/{processName}/status
GET    /computeruse/recordings
POST   /computeruse/recordings/start
POST   /computeruse/recordings/stop
GET    /computeruse/recordings/{id}
DELETE /computeruse/recordings/{id}
GET    /computeruse/recordings/{id}/download
GET    /computeruse/screenshot
GET    /computeruse/screenshot/compressed
GET    /computeruse/screenshot/region
GET    /computeruse/screenshot/region/compressed
POST   /computeruse/start
GET    /computeruse/status
POST   /computeruse/stop
`;

function handle(exchange: Exchange): never {
  throw new ToolboxError(501, null, `not implemented: ${exchange.method} ${exchange.path} is not offered by this server yet`);
}

const answer = Promise.resolve({ handle });

export const NOT_YET: readonly Route[] = OPERATIONS.trim().split('\n').map((line) => {
  const [method, path] = line.split(/ +/) as [string, string];
  return [method, path, () => answer];
});
