import ArgumentParser
import TopicLog

extension LogCommand {
    /// `rdmad log repair`: gives up what cannot be read, so that the rest can be used again.
    struct Repair: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Give up damaged records, so that their partitions can be read and written again.",
            discussion: """
                A partition with damage among its acknowledged records is fenced: readable up to the damage, and closed
                to appends. If the files can be restored from a copy, do that instead. This command leaves every sound
                record where it is, gives up the rest, and keeps each damaged file as NAME.damaged.

                  rdmad log repair /var/lib/rdmad --dry-run       what would be lost
                  rdmad log repair /var/lib/rdmad

                The broker must be stopped. Exit status: 0 when nothing is damaged any more, 1 when it failed, or with
                --dry-run when something is damaged.
                """)
        @Argument(help: "The data directory.") var path: String
        @Flag(help: "Only say what would be given up.") var dryRun = false

        func run() throws {
            var changes: [LogRepair.Change] = []
            try LogCommand.explained {
                let partitions = try LogInspector.partitions(in: path)
                guard !partitions.isEmpty else { throw Failure("\(path) holds no partitions") }
                let repair = try LogRepair(path: path)
                for partition in partitions { changes += try repair.repair(partition, isDryRun: dryRun) }
            }
            for change in changes {
                print("\(dryRun ? "would repair" : "repaired") \(change)")
                if !dryRun { print("  the damaged file is kept as \(change.keptAs)") }
            }
            if changes.isEmpty { print("nothing is damaged") }
            if dryRun, !changes.isEmpty { throw ExitCode(1) }
        }
    }
}
