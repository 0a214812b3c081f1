import { appendFileSync, cpSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { writeMonitoring } from './monitoring.ts';
import { type Places, placesOf } from './places.ts';
import { loadSettings } from './settings.ts';

const ROOT = resolve(import.meta.dirname, '../..');
let folder: string;
let source: string;
let places: Places;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'monitoring-'));
  source = join(folder, 'source');
  places = placesOf(join(folder, 'state'));
  cpSync(join(ROOT, 'monitoring'), join(source, 'monitoring'), { recursive: true });
});
afterEach(() => rmSync(folder, { recursive: true }));

const settingsOf = (environment: 'staging') => loadSettings(ROOT, environment, places);

test('the copy names the environment, its ports and its site, and everyone may read it', () => {
  expect(writeMonitoring(source, places, settingsOf('staging'))).toEqual([
    'alertmanager',
    'blackbox',
    'grafana',
    'prometheus',
  ]);

  const copy = (path: string) => readFileSync(join(places.monitoring, path), 'utf8');
  expect(copy('prometheus/prometheus.yml')).toContain('replacement: staging');
  expect(copy('prometheus/prometheus.yml')).toContain("'https://10.80.1.2:8443/health'");
  expect(copy('blackbox/blackbox.yml')).toContain("{Host: 'staging.gatehouse.example.com'}");
  expect(copy('prometheus/prometheus.yml') + copy('blackbox/blackbox.yml')).not.toMatch(/\$\{[A-Z]/);
  expect(statSync(join(places.monitoring, 'prometheus/prometheus.yml')).mode & 0o777).toBe(0o644);
});

test('a second copy changes nothing, a third what differs, and what the source has lost goes', () => {
  writeMonitoring(source, places, settingsOf('staging'));
  expect(writeMonitoring(source, places, settingsOf('staging'))).toEqual([]);

  appendFileSync(join(source, 'monitoring/alertmanager/alertmanager.yml'), '# more\n');
  rmSync(join(source, 'monitoring/prometheus/rules/deploys.yml'));
  expect(writeMonitoring(source, places, settingsOf('staging'))).toEqual(['alertmanager', 'prometheus']);
  expect(() => statSync(join(places.monitoring, 'prometheus/rules/deploys.yml'))).toThrow('ENOENT');
});

test('a setting that is not there is refused by its name', () => {
  writeFileSync(join(source, 'monitoring/blackbox/blackbox.yml'), `modules: \${NO_SUCH_SETTING}\n`);
  expect(() => writeMonitoring(source, places, settingsOf('staging'))).toThrow(/blackbox.yml needs .* NO_SUCH_SETTING/);
});
