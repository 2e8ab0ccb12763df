internal import Synchronization

/// Recovers many partitions, on several threads if there is enough to do.
final class RecoveryCrew: Sendable {
    /// One partition.
    ///
    /// Unchecked: each is touched by the one thread that took its number from `next`, and by the caller before the
    /// threads begin and after they were joined.
    private final class Job: @unchecked Sendable {
        var recovery: LogRecovery
        var error: LogError?

        init(_ recovery: LogRecovery) {
            self.recovery = recovery
        }
    }

    private let jobs: [Job]
    private let progress: RecoveryProgress
    private let next = Atomic<Int>(0)

    private init(_ recoveries: [LogRecovery], _ progress: RecoveryProgress) {
        jobs = recoveries.map { Job($0) }
        self.progress = progress
    }

    /// Recovers all.
    /// - Returns: the same, in their order.
    /// - Throws: the first error in that order.
    static func run(
        _ recoveries: [LogRecovery], threads: Int, _ progress: RecoveryProgress
    ) throws(LogError) -> [LogRecovery] {
        let unclean = recoveries.indices.filter { !recoveries[$0].isClean }
        progress.begin(
            partitions: recoveries.count, bytes: unclean.reduce(0) { $0 + recoveries[$1].bytesToRead })
        progress.add(partitions: recoveries.count - unclean.count)
        let crew = RecoveryCrew(unclean.map { recoveries[$0] }, progress)
        var started: [WorkerThread] = []
        for _ in 1..<max(1, min(threads, unclean.count)) {
            // Without it the others, the caller among them, do it all.
            guard let thread = try? WorkerThread("a recovery thread", { crew.work() }) else { break }
            started.append(thread)
        }
        crew.work()
        for thread in started { thread.join() }
        var recovered = recoveries
        for (job, index) in zip(crew.jobs, unclean) {
            if let error = job.error { throw error }
            recovered[index] = job.recovery
        }
        return recovered
    }

    /// Takes one partition after the other until there are none.
    private func work() {
        while true {
            let number = next.wrappingAdd(1, ordering: .relaxed).oldValue
            guard number < jobs.count else { return }
            let job = jobs[number]
            do throws(LogError) { try job.recovery.run(progress) } catch { job.error = error }
            progress.add(partitions: 1)
        }
    }
}
