// A connector in JavaScript: reads the people of a small HTTP API. `settings.url` is where it is.
import { write as log } from 'usher:host/log@0.1.0';

const settingsSchema = JSON.stringify({
  type: 'object',
  properties: { url: { type: 'string' }, spin: { type: 'boolean' } },
  required: ['url'],
  additionalProperties: false,
});

const accountSchema = JSON.stringify({
  type: 'object',
  properties: { login: { type: 'string' }, name: { type: 'string' } },
});

function failure(tag, message) {
  return { kind: { tag }, effect: 'none', message };
}

async function ask(call, path) {
  const { url, spin } = JSON.parse(call.settings);
  while (spin);
  let answer;
  try {
    answer = await fetch(url + path);
  } catch (error) {
    throw failure('unavailable', String(error));
  }
  if (answer.status === 404) throw failure('not-found', path);
  if (!answer.ok) throw failure('unavailable', `${path}: ${answer.status}`);
  return answer.json();
}

function account({ id, active, ...attributes }) {
  return { id, attributes: JSON.stringify(attributes), status: active ? 'enabled' : 'disabled' };
}

function unsupported() {
  throw failure('unsupported', 'this API can only be read');
}

export const connector = {
  describe() {
    return { name: 'javascript', version: '0.1.0', settingsSchema, capabilities: [], creation: { tag: 'none' } };
  },
  async check(call) {
    const people = await ask(call, '/people');
    return { steps: [{ name: 'read', ok: true, detail: `${people.length} people` }], permissions: [] };
  },
};

export const accounts = {
  schema: () => accountSchema,
  create: (_call, write, attributes) => account({ id: write.intentId, active: true, ...JSON.parse(attributes) }),
  update: unsupported,
  disable: unsupported,
  enable: unsupported,
  delete: unsupported,
  async get(call, id) {
    try {
      return account(await ask(call, `/people/${encodeURIComponent(id)}`));
    } catch (error) {
      if (error.kind?.tag === 'not-found') return undefined;
      throw error;
    }
  },
  find: () => [],
  async list(call, _cursor, limit) {
    const people = await ask(call, '/people');
    log('info', `${people.length} people`);
    return { accounts: people.slice(0, limit).map(account) };
  },
};
