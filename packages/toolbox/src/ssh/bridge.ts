import type net from 'node:net';
import type { ServerChannel } from './library.ts';
import { Outlet } from './outlet.ts';

/** Joins a channel and a socket inside the sandbox. Each direction ends on its own; when both have, or one side broke, all is closed. @param over called once */
export function bridge(channel: ServerChannel, socket: net.Socket, over: () => void): void {
  const outlet = new Outlet(channel, () => socket.resume());
  let endsLeft = 2;
  const ended = (): void => {
    if (--endsLeft === 0) outlet.end();
  };
  socket.on('data', (chunk: Buffer) => {
    if (!outlet.write(chunk)) socket.pause();
  });
  socket.once('end', () => {
    outlet.eof();
    ended();
  });
  socket.on('error', () => undefined);
  socket.once('close', () => {
    // Broken or done: nothing comes from here any more, and what the client still sends has nowhere to go.
    outlet.end();
    channel.resume();
    over();
  });
  channel.on('data', (chunk: Buffer) => {
    if (socket.writable && !socket.write(chunk)) channel.pause();
  });
  socket.on('drain', () => channel.resume());
  channel.once('end', () => {
    socket.end();
    ended();
  });
  channel.on('error', () => socket.destroy());
  // The client closed both directions at once. What it sent before has been read: 'close' comes behind 'end'.
  channel.once('close', () => socket.destroySoon());
  socket.resume();
}
