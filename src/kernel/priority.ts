/** Classes of calls that there may be: a tenant has shared words for each. */
export const MAX_CLASSES = 4;
