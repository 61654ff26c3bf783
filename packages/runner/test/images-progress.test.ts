import { describe, expect, it } from 'vitest';
import { ProgressReader, type Progress } from '../src/images/progress.ts';

const read = (lines: string[]): Progress[] => {
  const reader = new ProgressReader();
  return lines.flatMap((line) => reader.read(line) ?? []);
};

describe('progress of a bootstrap', () => {
  it('names what happens', () => {
    const texts = read([
      'I: chroot architecture amd64 is equal to the host\'s architecture',
      'I: running apt-get update...',
      'Get:4 http://mirror.example/debian trixie/main amd64 Packages [9678 kB]',
      'I: extracting archives...',
      'Unpacking libc6:amd64 (2.41-12) ...',
      'Setting up python3 (3.13.5-1) ...',
      'I: cleaning package lists and apt cache...',
    ]).map(({ text }) => text);
    expect(texts).toEqual([
      'Reading package lists', 'Downloading Packages', 'Unpacking the base system', 'Unpacking libc6', 'Setting up python3', 'Cleaning up',
    ]);
  });

  it('rises and stays below the end, however much is installed', () => {
    const fractions = read(Array.from({ length: 1000 }, (_, index) => `Setting up package${index} (1.0) ...`)).map(({ fraction }) => fraction);
    expect(fractions).toEqual(fractions.toSorted((a, b) => a - b));
    expect(fractions.at(-1)).toBeLessThan(1);
  });
});
