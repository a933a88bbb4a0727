/**
 * A service of somebody's own, as its descriptors: `acme.v1.Scoring`, whose requests name a dataset.
 */
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import {
  type FieldDescriptorProtoSchema,
  FileDescriptorSetSchema,
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
} from '@bufbuild/protobuf/wkt';

type Field = MessageInitShape<typeof FieldDescriptorProtoSchema>;

const field = (name: string, number: number, type: Type, typeName = '', label = Label.OPTIONAL): Field => ({
  ...{ name, number, type, typeName, label },
});

/** Request: `items` = 1 (repeated Item { spec = 1 }), `spec` = 2 (Spec { dataset = 1, revision = 2 }). */
export function scoringProtoset(): Uint8Array {
  const set = create(FileDescriptorSetSchema, {
    file: [
      {
        name: 'acme/v1/scoring.proto',
        package: 'acme.v1',
        syntax: 'proto3',
        messageType: [
          { name: 'Spec', field: [field('dataset', 1, Type.STRING), field('revision', 2, Type.INT64)] },
          { name: 'Item', field: [field('spec', 1, Type.MESSAGE, '.acme.v1.Spec')] },
          {
            name: 'Request',
            field: [
              field('items', 1, Type.MESSAGE, '.acme.v1.Item', Label.REPEATED),
              field('spec', 2, Type.MESSAGE, '.acme.v1.Spec'),
            ],
          },
        ],
        service: [
          {
            name: 'Scoring',
            method: ['Score', 'ScoreMany', 'Train', 'Ping', 'Secret'].map((name) => ({
              name,
              inputType: '.acme.v1.Request',
              outputType: '.acme.v1.Request',
            })),
          },
        ],
      },
    ],
  });
  return toBinary(FileDescriptorSetSchema, set);
}
