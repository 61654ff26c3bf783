import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { loadRecipe } from '../../runner/src/images/recipe.ts';

const recipe = loadRecipe('slim')!;
const dockerfile = readFileSync(fileURLToPath(new URL('../../../images/slim/Dockerfile', import.meta.url)), 'utf8');

/** What the two ways to the slim image are told; that they end in the same is tried by e2e/images/slim-image.test.ts. */
describe('images/slim: the Dockerfile and the recipe', () => {
  const heredoc = (word: string): string[] => dockerfile.split(new RegExp(`<<'${word}'.*\\n`))[1]!.split(`\n${word}\n`)[0]!.split('\n');

  it('name the same packages', () => {
    const [, list = ''] = /apt-get install --yes([^&]*)&&/.exec(dockerfile) ?? [];
    expect(list.replaceAll('\\', '').split(/\s+/).filter(Boolean)).toEqual(recipe.packages);
  });

  it('give dpkg and apt the same options', () => {
    expect(heredoc('DPKG')).toEqual(recipe.dpkgOptions);
    expect(heredoc('APT').map((line) => line.replace(/;$/, ''))).toEqual(recipe.aptOptions);
  });

  it('set the same environment, and no more of how to run', () => {
    const [, env = ''] = /^ENV ((?:.*\\\n)*.*)$/m.exec(dockerfile) ?? [];
    expect(env.replaceAll('\\', '').split(/\s+/).filter(Boolean)).toEqual(recipe.config.env);
    expect(recipe.config).toMatchObject({ workDir: null, entrypoint: null });
    expect(dockerfile).not.toMatch(/^(?:WORKDIR|ENTRYPOINT|CMD|USER)/m);
  });

  it('end with the same steps', () => {
    const plain = (line: string): string => line.replaceAll('"', '').replaceAll('chroot $root ', '').replaceAll('$root', '');
    // Only the host's script has to empty the files that a container's builder mounts its own over.
    const recipeOnly = /^(?:root=\$1|: >\/etc\/(?:hostname|resolv\.conf|hosts))$/;
    const steps = readFileSync(recipe.setupFile, 'utf8').split('\n').map(plain).filter((line) => line !== '' && !line.startsWith('#') && !recipeOnly.test(line));
    expect(heredoc('SETUP').map(plain).filter((line) => !line.startsWith('#'))).toEqual(steps);
  });
});
