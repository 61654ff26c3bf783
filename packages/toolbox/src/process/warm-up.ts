import { prepare } from './pipes.ts';
import './execute.ts';
import './code-run.ts';

prepare();
