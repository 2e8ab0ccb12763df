internal import Glibc
internal import Synchronization

/// A file system in memory that loses at a power cut whatever a real one may lose. Everything is drawn from a seed.
///
/// - **Contents.** After a cut each sector of a file is what it was at some moment since the last successful sync of
///   that file; the size is one of that time, or between two of them, holes read as zeros. Nothing orders the sectors
///   of one file, nor two files.
/// - **Names.** Each create, rename, unlink, mkdir and rmdir since the last sync of its directory has happened or not,
///   each by itself. Two things are relied upon, which POSIX asks of the calls and ext4, XFS and Btrfs keep over a cut:
///   a rename is one step (both names change or neither does), and the changes of one name keep their order. A sync of
///   a file does not make its name durable.
/// - **A sync that fails** leaves any part of it on the disk and takes the rest for written, as Linux does; what is
///   lost is seen until the cache is dropped.
/// - A process that ends loses its descriptors and locks, and nothing else.
///
/// Life cycle: `boot` a process, use it as a `LogStorage` until it `isDead` or is given up, `end` it, `boot` the next.
package final class SimulatedDisk: Sendable {
    /// What a process will meet.
    package enum Plan: Sendable {
        case none
        /// The process ends at this change, counted from 1; with the power, or alone.
        case die(atChange: Int, losingPower: Bool)
        /// This one call, counted from 1 among those that can meet the fault, meets it; or every one from there on.
        case fail(atCall: Int, SystemCall.Fault, isLasting: Bool)
    }

    /// Where the disk does not keep its word: for tests that must find fault.
    package struct Lies: OptionSet, Sendable {
        package let rawValue: Int
        package init(rawValue: Int) { self.rawValue = rawValue }
        /// Syncs of files do nothing, and say that they did.
        package static let synchronize = Lies(rawValue: 1)
        /// Syncs of directories do nothing, and say that they did.
        package static let synchronizeDirectory = Lies(rawValue: 2)
    }

    let state: Mutex<State>

    /// An empty disk: `/` and nothing in it.
    /// - Parameters:
    ///   - shortOneIn: Once in so many writes and reads less is done than was asked; 0 for never.
    ///   - isTraced: Whether to remember every call for ``trace``.
    package init(seed: UInt64, lies: Lies = [], shortOneIn: Int = 0, isTraced: Bool = false) {
        var generator = SeededGenerator(seed: seed)
        let sectorBytes = generator.oneIn(2) ? 512 : 4096
        state = Mutex(
            State(
                generator: generator, sectorBytes: sectorBytes, lies: lies, shortOneIn: shortOneIn,
                trace: isTraced ? [] : nil))
    }

    /// A new process. The one before must have ended.
    package func boot(_ plan: Plan = .none) -> SimulatedProcess {
        state.withLock { state in
            precondition(state.ending != nil, "a process is running")
            state.ending = nil
            state.descriptors = []
            state.process += 1
            state.begin(plan)
            return SimulatedProcess(disk: self, number: state.process)
        }
    }

    /// Ends the running process, unless it ended by itself; when the power went too, the disk settles.
    package func end(losingPower: Bool) {
        state.withLock { state in
            if state.ending == nil { state.ending = losingPower ? .power : .process }
            state.descriptors = []
            guard state.ending == .power else { return state.releaseLocks() }
            state.settle()
        }
    }

    /// What happened, one line a call.
    package var trace: [String] { state.withLock { $0.trace ?? [] } }

    /// How many calls could meet the planned fault, or were changes, since the plan was made.
    package var callsSeen: Int { state.withLock { $0.count } }

    /// How many calls met the planned fault.
    package var faultsMet: Int { state.withLock { $0.faultsMet } }

    /// The calls at which processes ended.
    package var endings: [SystemCall: Int] { state.withLock { $0.endings } }

    enum Ending { case process, power }

    /// A change of names: each step is a name in a directory and what it stands for from then on.
    typealias NameChange = [(directory: SimulatedNode, name: String, node: SimulatedNode?)]

    struct OpenFile {
        let node: SimulatedNode
        let path: String
    }

    /// Everything, behind one lock.
    struct State {
        let root = SimulatedNode(isDirectory: true)
        var generator: SeededGenerator
        /// For ids: apart, so that how many are made changes nothing else.
        var ids = SeededGenerator(seed: 1)
        let sectorBytes: Int
        let lies: Lies
        let shortOneIn: Int
        var trace: [String]?

        var nameChanges: [NameChange] = []
        var locked: [SimulatedNode] = []
        var process = 0
        /// How the process ended; before the first, some way.
        var ending: Ending? = .process
        var descriptors: [OpenFile?] = []
        let descriptorsMax = 1000

        var plan = Plan.none
        var isPaused = false
        var count = 0
        var faultsMet = 0
        var endings: [SystemCall: Int] = [:]

        init(generator: SeededGenerator, sectorBytes: Int, lies: Lies, shortOneIn: Int, trace: [String]?) {
            self.generator = generator
            self.sectorBytes = sectorBytes
            self.lies = lies
            self.shortOneIn = shortOneIn
            self.trace = trace
        }

        mutating func begin(_ plan: Plan) {
            self.plan = plan
            count = 0
            faultsMet = 0
        }

        mutating func releaseLocks() {
            for node in locked { node.lockHolder = nil }
            locked = []
        }

        /// The power is gone: of what was not synced a part remains.
        mutating func settle() {
            releaseLocks()
            let style = generator.below(4)
            let all = nameChanges.count
            let first = style == 2 ? generator.below(all + 1) : all
            for (index, change) in nameChanges.enumerated() {
                let isKept =
                    switch style {
                    case 0: false
                    case 3: generator.oneIn(2)
                    default: index < first
                    }
                if isKept { Self.keep(change) }
            }
            nameChanges = []
            root.restart(&generator, sectorBytes: sectorBytes)
        }

        static func keep(_ change: NameChange) {
            for step in change { step.directory.durableEntries[step.name] = step.node }
        }
    }
}
