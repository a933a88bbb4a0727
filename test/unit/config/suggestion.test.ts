import { describe, expect, test } from 'vitest';
import { nearest } from '../../../src/config/suggestion.ts';

const KEYS = ['clientCa', 'serverNames', 'byteAccount', 'quota', 'audit', 'level', 'warn'];

describe('the nearest name', () => {
  test.each([
    ['clientCA', 'clientCa'],
    ['client_ca', 'clientCa'],
    ['client-ca', 'clientCa'],
    ['serverName', 'serverNames'],
    ['severNames', 'serverNames'],
    ['byteAcount', 'byteAccount'],
    ['qouta', 'quota'],
    ['warning', 'warn'],
  ])('to %s is %s', (word, name) => {
    expect(nearest(word, KEYS)).toBe(name);
  });

  test.each(['colour', 'x', '', 'models', 'a'.repeat(65)])('to "%s" is none', (word) => {
    expect(nearest(word, KEYS)).toBeUndefined();
  });
});
