internal import Compression
internal import RecordFormat
internal import Synchronization

/// A consumer's decompressors: as many as it has readers at one time, kept with their memory.
final class DecompressorPool: Sendable {
    private let bytesMax: Int
    private let idle = Mutex<[Idle]>([])

    // Unchecked: one that is here belongs to nobody.
    private struct Idle: @unchecked Sendable { let decompressor: Decompressor }

    init(bytesMax: Int) { self.bytesMax = bytesMax }

    func take() -> Decompressor {
        idle.withLock { $0.popLast() }?.decompressor ?? Decompressor(bytesMax: bytesMax)
    }

    func put(_ decompressor: Decompressor) {
        let kept = Idle(decompressor: decompressor)
        idle.withLock { $0.append(kept) }
    }
}
