internal import TopicLog

/// What the members of a group want: each wish is looked up once, however many members have it.
struct GroupSubscriptions {
    /// Names, and a pattern for more.
    struct Wish: Hashable {
        let topics: [String]
        let pattern: String?

        init(_ member: ConsumerMember) {
            topics = member.topics
            pattern = member.pattern
        }
    }

    /// Members by their wish, and by their pattern.
    private var counts: [Wish: Int] = [:]
    private var patternCounts: [String: Int] = [:]
    /// Wishes came or went since they were looked up.
    private var isChanged = false
    private var topicsVersion: UInt64?
    /// What the patterns match, and which version of that is known.
    private var matches: [String: (found: TopicPatterns.Matches, version: UInt64)] = [:]
    private var topicsByWish: [Wish: Set<TopicUUID>] = [:]
    /// Of all topics that somebody wants, and that there are.
    private(set) var partitions: [TopicUUID: Int] = [:]
    /// Of the same: their names, ids and partitions (FNV-1a).
    private(set) var hash: Int64 = 0
    /// Each pattern has met all topics once. While one has not, what was found before stands.
    private(set) var isWhole = true

    /// Patterns that differ.
    var patternCount: Int { patternCounts.count }

    mutating func replace(_ old: ConsumerMember?, by new: ConsumerMember?) {
        if let old, let new, old.topics == new.topics, old.pattern == new.pattern { return }
        if let old { count(Wish(old), -1) }
        if let new { count(Wish(new), 1) }
    }

    private mutating func count(_ wish: Wish, _ sign: Int) {
        if let pattern = wish.pattern { Self.add(sign, to: pattern, in: &patternCounts) }
        if Self.add(sign, to: wish, in: &counts) { isChanged = true }
    }

    /// Returns whether the key came or went.
    @discardableResult
    private static func add<Key>(_ sign: Int, to key: Key, in counts: inout [Key: Int]) -> Bool {
        let before = counts[key] ?? 0
        counts[key] = before + sign == 0 ? nil : before + sign
        return before == 0 || before + sign == 0
    }

    /// Whether one member more or with another wish brings a pattern more than there are.
    func bringsPattern(_ new: ConsumerMember, inPlaceOf old: ConsumerMember?) -> Bool {
        guard let pattern = new.pattern, patternCounts[pattern] == nil else { return false }
        return old?.pattern.map { patternCounts[$0] != 1 } ?? true
    }

    /// Looks up what has changed. Returns whether something else was found; it was not as long as it is not
    /// ``isWhole``.
    mutating func lookUp(in topics: any GroupTopics, by patterns: TopicPatterns) -> Bool {
        if !matches.isEmpty { patterns.update(topics) }
        guard
            isChanged || topicsVersion != topics.topicsVersion
                || matches.values.contains(where: { $0.version != $0.found.version })
        else { return false }
        let before = matches
        let hasSameTopics = isWhole && topicsVersion == topics.topicsVersion
        matches = [:]
        for text in patternCounts.keys {
            guard let found = before[text]?.found ?? patterns.matches(text, in: topics) else { continue }
            matches[text] = (found, found.version)
        }
        isWhole = matches.values.allSatisfy(\.found.isWhole)
        isChanged = !isWhole
        guard isWhole else { return false }
        topicsVersion = topics.topicsVersion
        var known: [String: (id: TopicUUID, partitions: Int)?] = [:]
        func look(_ name: String) {
            if known[name] == nil { known.updateValue(topics.groupTopic(name), forKey: name) }
        }
        for (found, _) in matches.values { found.names.forEach(look) }
        let old = hasSameTopics ? topicsByWish : [:]
        topicsByWish = [:]
        for wish in counts.keys {
            wish.topics.forEach(look)
            // What is the same as last time need not be put together again.
            let isSame = wish.pattern.map { before[$0] != nil && before[$0]!.version == matches[$0]?.version } ?? true
            topicsByWish[wish] =
                (isSame ? old[wish] : nil) ?? topicIDs(of: wish) { known[$0].flatMap(\.self)?.id }
        }
        let existing = known.compactMap { name, topic in topic.map { (name: name, topic: $0) } }
        partitions = Dictionary(existing.map { ($0.topic.id, $0.topic.partitions) }) { $1 }
        hash = Self.hash(existing.sorted { $0.name < $1.name })
        return true
    }

    private static func hash(_ found: [(name: String, topic: (id: TopicUUID, partitions: Int))]) -> Int64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for (name, topic) in found {
            for byte in "\(name) \(topic.id) \(topic.partitions)\n".utf8 {
                hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3
            }
        }
        return Int64(bitPattern: hash)
    }

    private func topicIDs(of wish: Wish, _ id: (String) -> TopicUUID?) -> Set<TopicUUID> {
        var ids: Set<TopicUUID> = []
        forEachName(of: wish) { name in
            if let id = id(name) { ids.insert(id) }
        }
        return ids
    }

    private func forEachName(of wish: Wish, _ body: (String) -> Void) {
        wish.topics.forEach(body)
        if let pattern = wish.pattern { matches[pattern]?.found.names.forEach(body) }
    }

    /// What was found for a member: shared with all that have the same wish.
    func topics(of member: ConsumerMember) -> Set<TopicUUID> { topicsByWish[Wish(member)] ?? [] }

    /// The names that a member wants: its own and those that its pattern matches.
    func names(of member: ConsumerMember) -> Set<String> {
        var names: Set<String> = []
        forEachName(of: Wish(member)) { names.insert($0) }
        return names
    }

    /// Those of all members.
    var names: Set<String> {
        var names: Set<String> = []
        for wish in counts.keys { forEachName(of: wish) { names.insert($0) } }
        return names
    }

    /// Roughly what was found takes in memory.
    var byteCount: Int {
        topicsByWish.values.reduce(64 * partitions.count) { $0 + 32 * $1.count }
            + matches.values.reduce(TopicPatterns.bytesEach * patternCount) { $0 + $1.found.byteCount }
    }
}
