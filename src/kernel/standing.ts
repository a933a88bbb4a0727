/** Who pays for memory that stands: it is held until it is let go, and does not move on by itself. In bytes. */
export interface Standing {
  hold(bytes: number): void;
  letGo(bytes: number): void;
}
