/// A file or a directory of a simulated disk: as programs see it, and what of it is on the disk for certain.
///
/// Not thread-safe: `SimulatedDisk` guards it.
final class SimulatedNode {
    let isDirectory: Bool
    /// The names in a directory.
    var entries: [String: SimulatedNode] = [:]
    /// The names that a power cut leaves.
    var durableEntries: [String: SimulatedNode] = [:]
    /// A file's bytes.
    private(set) var bytes: [UInt8] = []
    /// The open file that has the lock.
    var lockHolder: Int32?

    private var durableBytes: [UInt8] = []
    /// What happened to the bytes since they were durable.
    private var changes: [Change] = []

    private enum Change {
        case write(position: Int, bytes: [UInt8])
        case truncate(size: Int)

        /// The part of the file that it changes.
        func range(limit: Int) -> Range<Int> {
            switch self {
            case .write(let position, let bytes): position..<(position + bytes.count)
            case .truncate(let size): min(size, limit)..<limit
            }
        }
    }

    init(isDirectory: Bool) {
        self.isDirectory = isDirectory
    }

    func write(_ new: [UInt8], at position: Int) {
        let change = Change.write(position: position, bytes: new)
        let end = position + new.count
        if bytes.count < end { bytes.append(contentsOf: repeatElement(0, count: end - bytes.count)) }
        Self.apply(change, in: position..<end, to: &bytes)
        changes.append(change)
    }

    func truncate(to size: Int) {
        guard size != bytes.count else { return }
        if size < bytes.count {
            bytes.removeLast(bytes.count - size)
        } else {
            bytes.append(contentsOf: repeatElement(0, count: size - bytes.count))
        }
        changes.append(.truncate(size: size))
    }

    func synchronize() {
        guard !changes.isEmpty else { return }
        settleWhole()
    }

    /// A sync that failed, as Linux does it: some sectors reached the disk, and all pages are clean from now on. So the
    /// bytes are still seen, until the cache is dropped; no later sync will write them.
    func failToSynchronize(_ generator: inout SeededGenerator, sectorBytes: Int) {
        settle(&generator, sectorBytes: sectorBytes)
    }

    /// Reads come from the disk from now on, but for what was changed since. The size is not cached: it stays.
    func dropCache() {
        let size = bytes.count
        bytes = durableBytes
        for change in changes { apply(change, to: &bytes) }
        truncate(to: size)
    }

    /// Makes `durableBytes` what the disk has after a power cut. Does not touch `bytes`.
    func settle(_ generator: inout SeededGenerator, sectorBytes: Int) {
        guard !changes.isEmpty else { return }
        switch generator.below(4) {
        case 0: changes = []
        case 1: settleWhole()
        case 2: settleSectors(&generator, sectorBytes, isTorn: false)
        default: settleSectors(&generator, sectorBytes, isTorn: true)
        }
    }

    private func settleWhole() {
        for change in changes { apply(change, to: &durableBytes) }
        changes = []
    }

    /// Each sector is what it was at some moment since the last sync, whatever its neighbours are; so is the size, or
    /// it lies between two that were.
    /// - Parameter isTorn: any moment; otherwise the first or the last one.
    private func settleSectors(_ generator: inout SeededGenerator, _ sectorBytes: Int, isTorn: Bool) {
        var sizes = [durableBytes.count]
        for change in changes {
            switch change {
            case .write(let position, let bytes): sizes.append(max(sizes.last!, position + bytes.count))
            case .truncate(let size): sizes.append(size)
            }
        }
        let (smallest, largest) = (sizes.min()!, sizes.max()!)
        var result = durableBytes
        result.append(contentsOf: repeatElement(0, count: largest - result.count))
        let moments = (0..<((largest + sectorBytes - 1) / sectorBytes)).map { _ in
            isTorn ? generator.below(changes.count + 1) : generator.below(2) * changes.count
        }
        for (index, change) in changes.enumerated() {
            let range = change.range(limit: largest)
            guard !range.isEmpty else { continue }
            for sector in (range.lowerBound / sectorBytes)...((range.upperBound - 1) / sectorBytes)
            where moments[sector] > index {
                let bounds = (sector * sectorBytes)..<min((sector + 1) * sectorBytes, largest)
                Self.apply(change, in: range.clamped(to: bounds), to: &result)
            }
        }
        let size =
            generator.oneIn(2)
            ? sizes[generator.below(sizes.count)] : smallest + generator.below(largest - smallest + 1)
        result.removeLast(result.count - size)
        durableBytes = result
        changes = []
    }

    /// Every file here and below.
    func forEachFile(_ body: (SimulatedNode) -> Void) {
        guard isDirectory else { return body(self) }
        for (_, node) in entries.sorted(by: { $0.key < $1.key }) { node.forEachFile(body) }
    }

    /// The machine starts again: only what is on the disk is seen, here and below.
    func restart(_ generator: inout SeededGenerator, sectorBytes: Int) {
        lockHolder = nil
        if isDirectory {
            entries = durableEntries
            for (_, node) in entries.sorted(by: { $0.key < $1.key }) {
                node.restart(&generator, sectorBytes: sectorBytes)
            }
        } else {
            settle(&generator, sectorBytes: sectorBytes)
            bytes = durableBytes
        }
    }

    private func apply(_ change: Change, to target: inout [UInt8]) {
        switch change {
        case .write(let position, let new):
            let end = position + new.count
            if target.count < end { target.append(contentsOf: repeatElement(0, count: end - target.count)) }
            Self.apply(change, in: position..<end, to: &target)
        case .truncate(let size):
            if size < target.count {
                target.removeLast(target.count - size)
            } else {
                target.append(contentsOf: repeatElement(0, count: size - target.count))
            }
        }
    }

    /// The part of a change that lies in `range`; the bytes are there.
    private static func apply(_ change: Change, in range: Range<Int>, to target: inout [UInt8]) {
        guard !range.isEmpty else { return }
        switch change {
        case .write(let position, let new):
            unsafe new.withUnsafeBytes { source in
                unsafe target.withUnsafeMutableBytes { target in
                    let from = range.lowerBound - position
                    unsafe UnsafeMutableRawBufferPointer(rebasing: target[range]).copyMemory(
                        from: UnsafeRawBufferPointer(rebasing: source[from..<(from + range.count)]))
                }
            }
        case .truncate:
            unsafe target.withUnsafeMutableBytes { target in
                for index in range { unsafe target[index] = 0 }
            }
        }
    }
}
