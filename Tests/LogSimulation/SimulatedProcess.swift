package import Glibc
internal import Synchronization
internal import TopicLog

/// The calls of one process to a `SimulatedDisk`. When the process has ended, every call fails and does nothing.
package struct SimulatedProcess: LogStorage {
    let disk: SimulatedDisk
    let number: Int

    /// Whether the process has ended: what it was told since then, nobody has heard.
    package var isDead: Bool { disk.state.withLock { $0.ending != nil || $0.process != number } }

    /// Replaces the plan; its calls count from now.
    package func plan(_ plan: SimulatedDisk.Plan) {
        disk.state.withLock { $0.begin(plan) }
    }

    /// Runs `body` on a healthy disk; its calls do not count.
    package func withoutPlan(_ body: () throws -> Void) rethrows {
        disk.state.withLock { $0.isPaused = true }
        defer { disk.state.withLock { $0.isPaused = false } }
        try body()
    }

    // MARK: - LogStorage

    package func random() -> UInt64 { disk.state.withLock { $0.ids.next() } }

    package func open(_ path: String, _ flags: Int32) -> Int32 {
        let kind = flags & O_CREAT != 0 ? SystemCall.create : .open
        return Int32(call(kind, path) { state, _ in state.open(path, flags) })
    }

    package func close(_ descriptor: Int32) {
        disk.state.withLock { state in
            guard state.process == number, state.ending == nil else { return }
            let file = state.descriptors[Int(descriptor)]!
            state.descriptors[Int(descriptor)] = nil
            if file.node.lockHolder == descriptor { file.node.lockHolder = nil }
        }
    }

    package func size(of descriptor: Int32) -> Int64 {
        Int64(call(.size, descriptor) { file, _, _ in file.bytes.count })
    }

    package func read(_ descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer, at position: Int64) -> Int {
        call(.read, descriptor) { file, state, isShort in
            let from = min(Int(position), file.bytes.count)
            var count = min(buffer.count, file.bytes.count - from)
            if isShort && count > 1 { count = 1 + state.generator.below(count - 1) }
            unsafe file.bytes.withUnsafeBytes { bytes in
                unsafe buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[from..<(from + count)]))
            }
            return count
        }
    }

    package func write(_ descriptor: Int32, _ vectors: UnsafeBufferPointer<iovec>, at position: Int64) -> Int {
        call(.write, descriptor) { file, state, isShort in
            var bytes: [UInt8] = []
            // The formatter would join the next line's two words.
            // swift-format-ignore
            for unsafe vector in unsafe vectors {
                unsafe bytes.append(contentsOf: UnsafeRawBufferPointer(start: vector.iov_base, count: vector.iov_len))
            }
            if isShort && bytes.count > 1 { bytes.removeLast(1 + state.generator.below(bytes.count - 1)) }
            file.write(bytes, at: Int(position))
            return bytes.count
        }
    }

    package func truncate(_ descriptor: Int32, to size: Int64) -> Int32 {
        Int32(
            call(.truncate, descriptor) { file, _, _ in
                file.truncate(to: Int(size))
                return 0
            })
    }

    package func synchronize(_ descriptor: Int32) -> Int32 {
        Int32(
            call(.synchronize, descriptor) { file, state, _ in
                if !state.lies.contains(.synchronize) { file.synchronize() }
                return 0
            } orElse: { file, state in
                file.failToSynchronize(&state.generator, sectorBytes: state.sectorBytes)
            })
    }

    package func synchronizeFileSystem(of descriptor: Int32) -> Int32 {
        Int32(
            call(.synchronizeFileSystem, descriptor) { _, state, _ in
                state.synchronizeAll()
            } orElse: { _, state in
                // What of it reached the disk, and which file lost something, nobody knows.
                state.root.forEachFile {
                    $0.failToSynchronize(&state.generator, sectorBytes: state.sectorBytes)
                }
            })
    }

    package func dropCache(of descriptor: Int32) {
        disk.state.withLock { state in
            guard state.process == number, state.ending == nil else { return }
            state.descriptors[Int(descriptor)]!.node.dropCache()
        }
    }

    package func lock(_ descriptor: Int32) -> Int32 {
        Int32(
            call(.lock, descriptor) { file, state, _ in
                guard file.lockHolder == nil || file.lockHolder == descriptor else { return -Int(EWOULDBLOCK) }
                file.lockHolder = descriptor
                state.locked.append(file)
                return 0
            })
    }

    package func createDirectory(_ path: String) -> Int32 {
        Int32(call(.createDirectory, path) { state, _ in state.createDirectory(path) })
    }

    package func synchronizeDirectory(_ path: String) -> Int32 {
        Int32(call(.synchronizeDirectory, path) { state, _ in state.synchronizeDirectory(path) })
    }

    package func rename(_ old: String, to new: String) -> Int32 {
        Int32(call(.rename, old) { state, _ in state.rename(old, new) })
    }

    package func remove(_ path: String) -> Int32 {
        Int32(call(.remove, path) { state, _ in state.remove(path, isDirectory: false) })
    }

    package func removeDirectory(_ path: String) -> Int32 {
        Int32(call(.removeDirectory, path) { state, _ in state.remove(path, isDirectory: true) })
    }

    package func exists(_ path: String) -> Int32 {
        Int32(call(.exists, path) { state, _ in state.find(path) == nil ? -Int(ENOENT) : 0 })
    }

    package func names(in path: String, _ take: (String) -> Void) -> Int32 {
        var names: [String] = []
        let result = call(.names, path) { state, _ in
            guard let node = state.find(path) else { return -Int(ENOENT) }
            guard node.isDirectory else { return -Int(ENOTDIR) }
            guard state.hasFreeDescriptor else { return -Int(EMFILE) }
            names = node.entries.keys.sorted()
            return 0
        }
        names.forEach(take)
        return Int32(result)
    }

    // MARK: - The plan

    /// Makes a call, as the plan wants it.
    private func call(
        _ call: SystemCall, _ path: String, _ body: (inout SimulatedDisk.State, _ isShort: Bool) -> Int,
        orElse fail: (inout SimulatedDisk.State) -> Void = { _ in }
    ) -> Int {
        disk.state.withLock { state in
            guard state.process == number, state.ending == nil else { return -Int(EIO) }
            switch state.verdict(call, path) {
            case .proceed(let isShort):
                return body(&state, isShort)
            case .fail(let number):
                fail(&state)
                return -Int(number)
            case .die(let isDone, let ending):
                if isDone { _ = body(&state, state.generator.oneIn(2)) }
                state.ending = ending
                state.endings[call, default: 0] += 1
                return -Int(EIO)
            }
        }
    }

    private func call(
        _ kind: SystemCall, _ descriptor: Int32,
        _ body: (SimulatedNode, inout SimulatedDisk.State, _ isShort: Bool) -> Int,
        orElse fail: (SimulatedNode, inout SimulatedDisk.State) -> Void = { _, _ in }
    ) -> Int {
        let file = disk.state.withLock { state in
            // An unknown descriptor is the log's error: it traps here.
            state.process == number && state.ending == nil ? Found(state.descriptors[Int(descriptor)]!) : nil
        }
        guard let file else { return -Int(EIO) }
        return call(kind, file.path) { state, isShort in
            body(state.descriptors[Int(descriptor)]!.node, &state, isShort)
        } orElse: { state in
            fail(state.descriptors[Int(descriptor)]!.node, &state)
        }
    }

    /// What may leave the lock.
    private struct Found: Sendable {
        let path: String
        init(_ file: SimulatedDisk.OpenFile) { path = file.path }
    }
}
