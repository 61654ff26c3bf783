import type { FastifySchemaCompiler } from 'fastify';
import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { Default } from 'typebox/value';
import { fromText } from './query.ts';

/** A request that does not fit its schema; the message names everything that is wrong, joined by ", ". */
export class ValidationError extends Error {
  override readonly name = 'ValidationError';
  constructor(problems: readonly string[]) {
    super(problems.join(', '));
  }
}

interface Problem {
  readonly keyword: string;
  readonly instancePath: string;
  readonly params: Readonly<Record<string, unknown>>;
}

/**
 * Query strings and path parameters are texts and become what their schema says; JSON bodies must already have the right
 * types. Unknown properties pass.
 */
export const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const validator = Compile(schema);
  const isText = httpPart === 'querystring' || httpPart === 'params';
  return (input: unknown) => {
    // A missing body gets the same message as an empty one: the list of what must be in it.
    const given = isText ? fromText(schema, input) : (input ?? {});
    const value = Default(schema, given);
    if (validator.Check(value)) return { value };
    return { error: new ValidationError(describe(validator.Errors(value) as readonly Problem[], httpPart ?? 'body')) };
  };
};

function describe(problems: readonly Problem[], part: string): string[] {
  const seen = new Set<string>();
  const sentences: string[] = [];
  for (const problem of problems) {
    const where = problem.instancePath.slice(1).replaceAll('/', '.');
    for (const sentence of sentencesFor(problem, where === '' ? part : where)) {
      // Of several complaints about one value the first says enough.
      const key = problem.keyword === 'required' ? sentence : where;
      if (seen.has(key)) continue;
      seen.add(key);
      sentences.push(sentence);
    }
  }
  return sentences.length > 0 ? sentences : [`${part} is not valid`];
}

function sentencesFor({ keyword, params }: Problem, name: string): string[] {
  switch (keyword) {
    case 'required': return (params.requiredProperties as string[]).map((key) => `${key} should not be empty`);
    case 'type': return [`${name} must be ${TYPE_NAMES[String(params.type)] ?? String(params.type)}`];
    case 'enum': return [`${name} must be one of the following values: ${(params.allowedValues as string[]).join(', ')}`];
    case 'minimum': return [`${name} must not be less than ${String(params.limit)}`];
    case 'maximum': return [`${name} must not be greater than ${String(params.limit)}`];
    case 'minLength': return [params.limit === 1 ? `${name} should not be empty` : `${name} must be longer than or equal to ${String(params.limit)} characters`];
    case 'maxLength': return [`${name} must be shorter than or equal to ${String(params.limit)} characters`];
    case 'maxItems': return [`${name} must contain no more than ${String(params.limit)} elements`];
    case 'minItems': return [`${name} must contain at least ${String(params.limit)} elements`];
    case 'format': return [`${name} must be a valid ${params.format === 'date-time' ? 'ISO 8601 date string' : String(params.format)}`];
    default: return [`${name} is not valid`];
  }
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  string: 'a string', integer: 'an integer number', number: 'a number', boolean: 'a boolean value', array: 'an array', object: 'an object', null: 'null',
};
