// What tsdav does when the app-specific password expires.
//
// It needs icloud-contacts and Node.js 20, and no Go:
//
//   node --test expired.test.mjs

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, test } from 'node:test';
import { DAVClient } from 'tsdav';

// A fake iCloud, which ends with this process.
let icloud;

beforeEach(async () => {
  const fake = spawn(process.env.ICLOUD_CONTACTS ?? 'icloud-contacts',
    ['fake', '-json', '-control', '127.0.0.1:0', '-exit-with-stdin'],
    { stdio: ['pipe', 'pipe', 'inherit'] });
  for await (const line of createInterface({ input: fake.stdout })) {
    icloud = { ...JSON.parse(line), fake };
    break;
  }
});

afterEach(() => icloud.fake.stdin.end());

// ask asks the control port, which describes itself at /openapi.json.
async function ask(method, path, body) {
  const answer = await fetch(icloud.control + path, {
    method,
    headers: { 'Content-Type': 'application/json' },
    body: method === 'GET' ? undefined : JSON.stringify(body ?? {}),
  });
  assert.equal(answer.status, 200, await answer.clone().text());
  return answer.json();
}

// The program under test: replace it by yours.
class Client {
  constructor({ endpoint, apple_id: username, password }) {
    this.dav = new DAVClient({
      serverUrl: endpoint,
      credentials: { username, password },
      authMethod: 'Basic',
      defaultAccountType: 'carddav',
    });
  }

  async contacts() {
    if (!this.book) {
      await this.dav.login();
      [this.book] = await this.dav.fetchAddressBooks();
    }
    const cards = await this.dav.fetchVCards({ addressBook: this.book });
    return cards.map((card) => card.url.split('/').pop()).sort();
  }
}

test('the password expires', async () => {
  const client = new Client(icloud);
  const contacts = await client.contacts();
  assert.equal(contacts.length, 7);

  // The password dies of age, while the client goes on using it.
  await ask('POST', 'accounts/first/passwords/current/expire');
  await ask('DELETE', 'requests');

  // It fails and says why, signed in or not, and does not show an empty book.
  await assert.rejects(client.contacts(), /401/);
  await assert.rejects(new Client(icloud).contacts(), /401/);

  // It does not try for ever: a dead password should cost few requests.
  const { total, by_status } = await ask('GET', 'requests');
  assert.ok(total > 0 && total <= 10, `${total} requests`);
  assert.deepEqual(Object.keys(by_status), ['401']);
});
