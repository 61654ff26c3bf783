export { collectGuests, prepareGuest } from './prepare.ts';
