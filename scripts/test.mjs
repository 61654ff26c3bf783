// `npm test`: set-up, type check, every test. Ends with one line, `N passed, N failed`, and an exit status that agrees.
// Plain JavaScript for Node 20. usage: npm test [-- <project>…], projects as in vitest.config.ts.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { node, root, runScript, setup } from './setup.mjs';

/** Quick ones first: what is wrong with a part shows before a whole server is started. */
const PROJECTS = ['packages', 'server', 'chaos'];

/** Debian is bootstrapped once a machine; every server that a test starts takes it from here. */
process.env.PADDOCK_IMAGE_CACHE ??= '/var/tmp/paddock-test-cache';

const total = { passed: 0, failed: 0, skipped: 0 };

await runScript(() => {
  setup({ test: true });
  count('Type check', typeCheck());
  const chosen = process.argv.slice(2);
  for (const project of chosen.length > 0 ? chosen : PROJECTS) count(`Tests: ${project}`, vitest(project));
});
if (process.exitCode) total.failed += 1; // set-up failed and has said why
console.log(`\n${total.passed} passed, ${total.failed} failed${total.skipped > 0 ? `, ${total.skipped} skipped` : ''}`);
process.exitCode = total.failed > 0 ? 1 : 0;

function count(title, result) {
  console.log(`==> ${title}: ${result.passed} passed, ${result.failed} failed`);
  for (const key of Object.keys(total)) total[key] += result[key];
}

function typeCheck() {
  const passed = start(['node_modules/typescript/bin/tsc', '--noEmit', '-p', '.']) === 0;
  return { passed: Number(passed), failed: Number(!passed), skipped: 0 };
}

/** Runs one project. What fails outside of a test (a file that does not load, a server left over) counts as one failure each. */
function vitest(project) {
  const directory = mkdtempSync(join(tmpdir(), 'paddock-test-'));
  try {
    const report = join(directory, 'report.json');
    const status = start(['node_modules/vitest/vitest.mjs', 'run', '--project', project, '--reporter=default', '--reporter=json', `--outputFile.json=${report}`]);
    const { numPassedTests: passed, numFailedTests, numPendingTests: skipped, testResults } = readReport(report);
    const unloaded = testResults.filter((file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed')).length;
    const failed = numFailedTests + unloaded;
    return { passed, failed: status !== 0 && failed === 0 ? 1 : failed, skipped };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function readReport(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return { numPassedTests: 0, numFailedTests: 1, numPendingTests: 0, testResults: [] };
  }
}

function start(args) {
  return spawnSync(node, args, { cwd: root, stdio: 'inherit' }).status ?? 1;
}
