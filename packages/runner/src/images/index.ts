/** What sandboxes are made from. */
export { Images, type ImagesInput } from './images.ts';
export { type LayerInfo } from './layers.ts';
export { MakeFailed, type LayerAccess, type MadeImage, type MakeContext, type Maker, type RecordedConfig, type SourceOf, type TemplateDisks } from './maker.ts';
export { Publications } from './publish/index.ts';
export { unpackLayer } from './unpack/unpack.ts';
export { RegistryMaker, inspect } from './registry-maker.ts';
export { RecipeMaker } from './recipe-maker.ts';
export { keepMade } from './keep-made.ts';
export { parseUsers, readAccounts, readUsers, runAs } from './users.ts';
