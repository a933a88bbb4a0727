/** What stands before a version that is a label of the server's configuration: which number it means, the server knows. */
export const VERSION_LABEL_PREFIX = 'label:';
