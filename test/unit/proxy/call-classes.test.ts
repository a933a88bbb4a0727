import { expect, it } from 'vitest';
import type { MethodPermit } from '../../../src/authz/authorizer.ts';
import { CallClasses } from '../../../src/proxy/call-classes.ts';

/** A permit as far as classes look at one. Forged, which only a test may. */
function permit(fullName: string, role: string): Pick<MethodPermit, 'method' | 'role'> {
  return { method: { fullName }, role } as unknown as MethodPermit;
}

const classes = new CallClasses({
  defaultClass: 1,
  rules: [
    { class: 2, methods: ['*/Stream*'], roles: ['nightly'] },
    { class: 0, methods: ['a.B/Infer'] },
    { class: 3, roles: ['nightly', 'weekly'] },
  ],
});

it('a call is in the class of the first rule whose methods and roles are both its own', () => {
  expect(classes.of(permit('a.B/StreamInfer', 'nightly'))).toBe(2);
  expect(classes.of(permit('a.B/StreamInfer', 'weekly'))).toBe(3);
  expect(classes.of(permit('a.B/Infer', 'nightly'))).toBe(0);
});

it('a call that no rule is about is in its tenant’s own', () => {
  expect(classes.of(permit('a.B/StreamInfer', 'reader'))).toBe(1);
  expect(new CallClasses({ defaultClass: 0, rules: [] }).of(permit('a.B/Infer', 'nightly'))).toBe(0);
});
