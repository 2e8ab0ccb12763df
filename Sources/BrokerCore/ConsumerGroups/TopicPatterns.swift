/// The topics that patterns match, for all groups: each pattern meets each topic once.
///
/// What is new meets the rest at once, up to ``stepsMax`` steps in a turn; what would take longer goes on in the next
/// ones, by turns in slices, so that no pattern waits for all that another one costs. As in Kafka, a group hears of
/// what was found later at its next heartbeat.
final class TopicPatterns {
    /// What one pattern matches.
    final class Matches {
        private let pattern: TopicPattern
        /// Order of arrival.
        fileprivate let number: UInt64
        /// As they were found.
        fileprivate(set) var names: [String] = []
        /// It has met all topics once: until then nobody can tell what it matches.
        private(set) var isWhole = false
        /// Another one whenever names come or go, once it is whole.
        private(set) var version: UInt64 = 0
        /// It has met the topics before this place in the order of all.
        fileprivate var place = 0
        fileprivate var isQueued = false
        /// How many names there may come to be before it is whole.
        private var expected: Int

        fileprivate init(_ pattern: TopicPattern, number: UInt64, expected: Int) {
            self.pattern = pattern
            self.number = number
            self.expected = expected
        }

        /// Meets topics while there are steps left. Returns how many it met.
        fileprivate func meet(_ topics: [String?], _ stepsLeft: inout Int) -> Int {
            let before = names.count
            var meetings = 0
            while stepsLeft > 0, place < topics.count {
                place += 1
                guard let name = topics[place - 1] else { continue }
                meetings += 1
                if pattern.matches(name, &stepsLeft) { names.append(name) }
            }
            if isWhole {
                if names.count != before { version += 1 }
            } else if place == topics.count {
                isWhole = true
                version += 1
                expected = 0
            }
            return meetings
        }

        fileprivate func forget(_ removed: Set<String>) {
            let before = names.count
            names.removeAll(where: removed.contains)
            if isWhole, names.count != before { version += 1 }
        }

        /// Of names that it matches, or may come to match: their share of the memory, roughly.
        var byteCount: Int { 16 * max(names.count, expected) }
    }

    /// What patterns may cost in a turn: about two milliseconds. A usual pattern takes a few steps for each topic.
    static let stepsMax = 200_000
    /// What one may cost before the next one has its turn.
    static let sliceMax = 50_000
    /// What one takes in memory, beside the names that it matches: its text, its instructions, what is kept about it.
    static let bytesEach = TopicPattern.bytesMax + 32 * TopicPattern.instructionsMax + 512
    /// Patterns that are kept without a look at who still wants them.
    private static let unsweptMin = 64
    /// Places of topics that are gone are kept up to so many more than those of topics that there are.
    private static let gapsMax = 64

    /// How often a pattern has met a topic.
    private(set) var meetings = 0
    private var all: [String: Matches] = [:]
    private var lastNumber: UInt64 = 0
    /// Those that have topics yet to meet, by whose turn it is.
    private var incomplete: ArraySlice<String> = []
    private var stepsLeft = TopicPatterns.stepsMax
    private var sweepAt = TopicPatterns.unsweptMin
    /// All topics in order of arrival, one list for all patterns; nil for one that is gone.
    private var order: [String?] = []
    private var places: [String: Int] = [:]
    private var topicsVersion: UInt64?

    /// What a pattern matches; whoever wants to know again keeps it. Nil for what is no pattern.
    func matches(_ text: String, in topics: any GroupTopics) -> Matches? {
        update(topics)
        if let known = all[text] { return known }
        guard let pattern = try? TopicPattern(text) else { return nil }
        if topicsVersion != topics.topicsVersion { list(topics) }
        if all.count >= sweepAt { sweep() }
        lastNumber += 1
        let matches = Matches(pattern, number: lastNumber, expected: places.count)
        all[text] = matches
        queue(text, matches)
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
        let listed = topics.patternTopics
        let removed = Set(places.keys).subtracting(listed)
        for name in removed { order[places.removeValue(forKey: name)!] = nil }
        if !removed.isEmpty { for matches in all.values { matches.forget(removed) } }
        let before = order.count
        for name in listed where places[name] == nil {
            places[name] = order.count
            order.append(name)
        }
        if order.count != before {
            for (text, matches) in all.sorted(by: { $0.value.number < $1.value.number }) { queue(text, matches) }
        }
        if order.count > 2 * places.count + Self.gapsMax { closeGaps() }
        goOn()
    }

    private func closeGaps() {
        var count = 0
        let moved = order.map { name in
            defer { count += name == nil ? 0 : 1 }
            return count
        }
        for matches in all.values { matches.place = matches.place < moved.count ? moved[matches.place] : count }
        order.removeAll { $0 == nil }
        for (place, name) in order.enumerated() { places[name!] = place }
    }

    /// Whether there is work for another turn.
    var isIncomplete: Bool { !incomplete.isEmpty }

    /// Another turn.
    func advance() {
        stepsLeft = Self.stepsMax
        goOn()
    }

    private func queue(_ text: String, _ matches: Matches) {
        guard !matches.isQueued else { return }
        matches.isQueued = true
        incomplete.append(text)
    }

    private func goOn() {
        while stepsLeft > 0, let text = incomplete.popFirst() {
            // Nobody waits for what no group wants any more.
            guard all[text] != nil, !isKnownUniquelyReferenced(&all[text]!) else {
                all[text] = nil
                continue
            }
            let matches = all[text]!
            let slice = min(stepsLeft, Self.sliceMax)
            var left = slice
            meetings += matches.meet(order, &left)
            stepsLeft -= slice - left
            matches.isQueued = false
            if matches.place < order.count { queue(text, matches) }
        }
        if incomplete.isEmpty { incomplete = [] }
    }

    /// Forgets patterns that no group wants any more.
    private func sweep() {
        for text in Array(all.keys) where isKnownUniquelyReferenced(&all[text]!) { all[text] = nil }
        sweepAt = max(Self.unsweptMin, 2 * all.count)
    }
}
