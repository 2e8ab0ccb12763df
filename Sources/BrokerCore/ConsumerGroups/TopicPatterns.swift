/// The topics that patterns match, for all groups: each pattern meets each topic once.
///
/// What is new meets the rest at once, up to ``stepsMax`` steps in a turn; what would take longer goes on in the next
/// ones. As in Kafka, a group hears of what was found later at its next heartbeat.
final class TopicPatterns {
    /// What one pattern matches.
    final class Matches {
        private let pattern: TopicPattern
        /// As they were found.
        fileprivate(set) var names: [String] = []
        /// Another one whenever names come or go.
        fileprivate(set) var version: UInt64 = 0
        /// Topics that it has not met yet.
        private var unmet: ArraySlice<String>

        fileprivate init(_ pattern: TopicPattern, _ unmet: [String]) {
            self.pattern = pattern
            self.unmet = unmet[...]
        }

        fileprivate var isComplete: Bool { unmet.isEmpty }

        /// Meets topics while there are steps left. Returns how many it met.
        fileprivate func go(on stepsLeft: inout Int) -> Int {
            let before = (unmet: unmet.count, names: names.count)
            while stepsLeft > 0, let name = unmet.popFirst() {
                if pattern.matches(name, &stepsLeft) { names.append(name) }
            }
            if names.count != before.names { version += 1 }
            return before.unmet - unmet.count
        }

        fileprivate func change(added: [String], removed: Set<String>) {
            unmet = isComplete ? added[...] : (unmet.filter { !removed.contains($0) } + added)[...]
            guard !removed.isEmpty else { return }
            let count = names.count
            names.removeAll(where: removed.contains)
            if names.count != count { version += 1 }
        }
    }

    /// What patterns may cost in a turn: about ten milliseconds. A usual pattern takes a few steps for each topic.
    static let stepsMax = 1_000_000
    /// Patterns that are kept without a look at who still wants them.
    private static let unsweptMin = 64

    /// How often a pattern has met a topic.
    private(set) var meetings = 0
    private var all: [String: Matches] = [:]
    /// Those that have topics yet to meet.
    private var incomplete: [String] = []
    private var stepsLeft = TopicPatterns.stepsMax
    private var sweepAt = TopicPatterns.unsweptMin
    private var names: Set<String> = []
    private var topicsVersion: UInt64?

    /// What a pattern matches; whoever wants to know again keeps it. Nil for what is no pattern.
    func matches(_ text: String, in topics: any GroupTopics) -> Matches? {
        update(topics)
        if let known = all[text] { return known }
        guard let pattern = try? TopicPattern(text) else { return nil }
        if topicsVersion != topics.topicsVersion { list(topics) }
        if all.count >= sweepAt { sweep() }
        let matches = Matches(pattern, Array(names))
        all[text] = matches
        incomplete.append(text)
        goOn()
        return matches
    }

    /// Takes new topics in, and forgets those that are gone.
    func update(_ topics: any GroupTopics) {
        guard topicsVersion != topics.topicsVersion else { return }
        sweep()
        if !all.isEmpty { list(topics) }
    }

    private func list(_ topics: any GroupTopics) {
        topicsVersion = topics.topicsVersion
        let now = Set(topics.patternTopics)
        let (added, removed) = (now.subtracting(names), names.subtracting(now))
        names = now
        guard !added.isEmpty || !removed.isEmpty else { return }
        for matches in all.values { matches.change(added: Array(added), removed: removed) }
        incomplete = all.filter { !$0.value.isComplete }.keys.sorted()
        goOn()
    }

    /// Whether there is work for another turn.
    var isIncomplete: Bool { !incomplete.isEmpty }

    /// Another turn.
    func advance() {
        stepsLeft = Self.stepsMax
        goOn()
    }

    private func goOn() {
        while stepsLeft > 0, let text = incomplete.first {
            guard let matches = all[text] else {
                incomplete.removeFirst()
                continue
            }
            meetings += matches.go(on: &stepsLeft)
            if matches.isComplete { incomplete.removeFirst() }
        }
    }

    /// Forgets patterns that no group wants any more.
    private func sweep() {
        for text in Array(all.keys) where isKnownUniquelyReferenced(&all[text]!) { all[text] = nil }
        sweepAt = max(Self.unsweptMin, 2 * all.count)
    }
}
