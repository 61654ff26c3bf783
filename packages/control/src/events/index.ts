/** Events of committed changes, and the sockets they are sent through. */
export { Announcer, type Announcement } from './announcer.ts';
export { Publisher, type PublisherDeps } from './publisher.ts';
export { createEventSockets, type EventSockets } from './sockets.ts';
