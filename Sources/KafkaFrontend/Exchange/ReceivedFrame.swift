/// A request as it was received, without its length prefix. Whoever holds this object keeps the memory; it goes back to
/// where it came from when nobody does.
/// - Threading: any; the bytes belong to the reactor from the command on (it patches 12 bytes of each batch).
// Unchecked: a pointer; handed over by a queue under a lock, and used by one thread at a time.
@safe final class ReceivedFrame: @unchecked Sendable {
    let bytes: UnsafeMutableRawBufferPointer
    private let release: @Sendable () -> Void

    /// - Parameter release: Called once, on any thread.
    init(_ bytes: UnsafeMutableRawBufferPointer, release: @escaping @Sendable () -> Void) {
        unsafe self.bytes = bytes
        self.release = release
    }

    deinit { release() }
}
