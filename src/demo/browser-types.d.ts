/**
 * onnxruntime-node's types are shared with its browser edition and name things that only a browser has. Nothing here uses them.
 */
interface WebGLRenderingContext {}
interface WebGLTexture {}
interface ImageData {}
interface ImageBitmap {}
interface HTMLImageElement {}
