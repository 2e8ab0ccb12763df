import Glibc

/// Many runs, each in a directory of its own that goes afterwards.
package enum ModelRuns {
    /// Operations of one run: few enough that a failure can be looked at.
    package static let operationsPerRun = 500

    /// Runs seeds from `seed` on until so many operations are done, all in `parent`.
    /// - Returns: how often each operation was done.
    /// - Throws: ``ModelFailure``, which says the seed to replay.
    package static func run(seed: UInt64, operations: Int, parent: String) throws -> [String: Int] {
        var counts: [String: Int] = [:]
        for number in 0..<((operations + operationsPerRun - 1) / operationsPerRun) {
            let path = parent + "/\(seed &+ UInt64(number))"
            unsafe mkdir(path, 0o700)
            let run = ModelRun(seed: seed &+ UInt64(number), path: path)
            do { try run.run(operations: operationsPerRun) } catch {
                throw ModelFailure("\(error). Replay with RDMAD_LOG_MODEL_SEED=\(seed &+ UInt64(number))")
            }
            counts.merge(run.counts, uniquingKeysWith: +)
            remove(path)
        }
        return counts
    }

    /// Removes a directory with all that is in it.
    package static func remove(_ path: String) {
        if let stream = unsafe opendir(path) {
            while let entry = unsafe readdir(stream) {
                let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
                    unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
                }
                guard name != "." && name != ".." else { continue }
                if unsafe unlink(path + "/" + name) != 0 { remove(path + "/" + name) }
            }
            unsafe closedir(stream)
        }
        unsafe rmdir(path)
    }
}
