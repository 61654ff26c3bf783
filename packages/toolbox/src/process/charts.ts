import wrapper from './charts.py';

/** Ways to get at matplotlib, at the start of a line or of a statement; a commented line is none. */
const IMPORTS = [
  /^[^#\n]*\bimport\s+[^#\n]*\bmatplotlib\b/m,
  /^[^#\n]*\bfrom\s+matplotlib\b/m,
  /^[^#\n]*\b__import__\s*\(\s*['"]matplotlib\b/m,
  /^[^#\n]*\bimport_module\s*\(\s*['"]matplotlib\b/m,
  /^[^#\n]*\bsys\.modules\s*\[\s*['"]matplotlib\b/m,
];

/** Whether a Python source loads matplotlib: only then is the wrapper worth its start time. */
export function drawsCharts(code: string): boolean {
  return code.includes('matplotlib') && IMPORTS.some((pattern) => pattern.test(code));
}

/** The program that runs the source and reports every figure it shows. */
export function withCharts(code: string): string {
  return `${wrapper}\n_run("${Buffer.from(code).toString('base64')}")\n`;
}
