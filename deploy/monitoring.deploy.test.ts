import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { run } from './src/command.ts';
import { writeMonitoring } from './src/monitoring.ts';
import { type Places, placesOf } from './src/places.ts';
import { loadSettings } from './src/settings.ts';
import { RENDERED, ROOT, SERVICES } from './testing/rendered.ts';

let places: Places;
beforeAll(() => {
  places = placesOf(mkdtempSync(join(tmpdir(), 'monitoring-')));
  writeMonitoring(ROOT, places, loadSettings(ROOT, 'production', places));
});
afterAll(() => rmSync(places.state, { recursive: true }));

// The programs judge what they will read, as they come in the images that will read it.
test.each<[string, string, string[]]>([
  ['prometheus', 'prometheus', ['promtool', 'check', 'config', '/c/prometheus.yml']],
  ['prometheus', 'prometheus', ['promtool', 'test', 'rules', '/c/rules.test.yml']],
  ['alertmanager', 'alertmanager', ['amtool', 'check-config', '/c/alertmanager.yml']],
  ['blackbox-exporter', 'blackbox', ['blackbox_exporter', '--config.check', '--config.file=/c/blackbox.yml']],
])('%s accepts its part of monitoring/%s: %j', async (service, folder, [program = '', ...args]) => {
  const image = RENDERED.production.services[service]?.image ?? '';
  const as = ['--rm', '--network', 'none', '--user', '65534:65534', '-v', `${places.monitoring}/${folder}:/c:ro`];
  const { code, stdout, stderr } = await run('docker', ['run', ...as, '--entrypoint', program, image, ...args]);
  expect([code, code === 0 ? '' : stdout + stderr]).toEqual([0, '']);
});

test('Prometheus asks every process of both colours, and services that exist', () => {
  const text = readFileSync(join(places.monitoring, 'prometheus/prometheus.yml'), 'utf8');
  const asked = [...text.matchAll(/names: \[([^\]]+)\]/g)].flatMap(([, names = '']) => names.split(', '));
  expect(asked.sort()).toEqual(SERVICES.filter((name) => /-(blue|green)$/.test(name)));

  const targets = [...text.matchAll(/'([a-z-]+):\d+'/g)].map(([, name]) => name);
  expect(targets.filter((name) => !SERVICES.includes(name ?? ''))).toEqual([]);
  expect(targets.length).toBeGreaterThan(5);
});
