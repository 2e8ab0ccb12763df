import Glibc
import Logging
import Synchronization
import TopicLog

/// Shows how far a long recovery is: a bar where standard error is a terminal, else a line of the log every few
/// seconds.
final class RecoveryMeter: Sendable {
    private let progress = RecoveryProgress()
    private let isDone = Atomic(false)
    private let log: Logger
    private static let barColumns = 30

    private init(_ log: Logger) {
        self.log = log
    }

    /// Runs `body`, showing what it tells the progress.
    static func watch<T>(_ log: Logger, _ body: (RecoveryProgress) throws -> T) throws -> T {
        let meter = RecoveryMeter(log)
        let thread = try? WorkerThread("the recovery meter") { meter.run() }
        defer {
            meter.isDone.store(true, ordering: .relaxed)
            thread?.join()
        }
        return try body(meter.progress)
    }

    private func run() {
        let isTerminal = isatty(STDERR_FILENO) == 1
        var ticks = 0
        var hasShown = false
        while !isDone.load(ordering: .relaxed) {
            usleep(50_000)
            ticks += 1
            // A second of patience: most starts need no bar.
            guard ticks >= 20, progress.bytesTotal > 0 else { continue }
            if isTerminal, ticks % 4 == 0 {
                showBar()
                hasShown = true
            } else if !isTerminal, ticks % 60 == 0 {
                log.notice(
                    "recovering",
                    metadata: [
                        "partitions": "\(progress.partitionsDone)/\(progress.partitionsTotal)",
                        "MiB": "\(progress.bytesDone >> 20)/\(progress.bytesTotal >> 20)",
                    ])
            }
        }
        if hasShown { fputs("\r\u{1B}[K") }
    }

    private func showBar() {
        let share = min(1, Double(progress.bytesDone) / Double(progress.bytesTotal))
        let full = Int(share * Double(Self.barColumns))
        let bar = String(repeating: "#", count: full) + String(repeating: ".", count: Self.barColumns - full)
        fputs(
            "\r\u{1B}[Krecovering [\(bar)] \(progress.bytesDone >> 20)/\(progress.bytesTotal >> 20) MiB, "
                + "\(progress.partitionsDone)/\(progress.partitionsTotal) partitions")
    }

    private func fputs(_ text: String) {
        _ = unsafe write(STDERR_FILENO, text, text.utf8.count)
    }
}
