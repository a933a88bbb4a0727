import { describe, expect, it } from 'vitest';
import { plainInk } from '../../../../src/demo/render/ink.ts';
import { renderTable } from '../../../../src/demo/render/table.ts';

describe('renderTable', () => {
  it('makes columns as wide as their widest cell, numbers to the right', () => {
    const columns = [
      { title: 'tenant', align: 'left' },
      { title: 'calls', align: 'right' },
    ] as const;
    expect(
      renderTable(
        columns,
        [
          ['acme', '12'],
          ['globex-2', '1'],
        ],
        plainInk,
      ),
    ).toEqual(['tenant     calls', 'acme          12', 'globex-2       1']);
  });

  it('leaves a missing cell empty', () => {
    const columns = [
      { title: 'a', align: 'left' },
      { title: 'b', align: 'left' },
    ] as const;
    expect(renderTable(columns, [['x']], plainInk)).toEqual(['a   b', 'x']);
  });
});
