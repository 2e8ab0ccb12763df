internal import Inventory

/// Which of the available ids suit a container best.
package enum PreferredAllocation {
    /// Chooses `count` ids, `required` among them.
    ///
    /// - `pack`: the smallest of device, PCI root, NUMA node, whole node that holds all. Among devices the least loaded
    ///   one, so that pods spread over a node; among larger groups the smallest, so that large ones stay whole.
    /// - `spread`: each on another device while there are any, on another PCI root and NUMA node where that can be.
    /// - Returns: Fewer than `count` when fewer are available; ids that the pool does not have are left out.
    package static func choose(_ count: Int, of available: [String], required: [String], in pool: Pool) -> [String] {
        guard case .devices(let rules) = pool.definition.kind else {
            return Array((required + available.filter { !required.contains($0) }).prefix(count))
        }
        let known = Set(available + required).compactMap { id in
            pool.member(of: id).map { Candidate(id: id, member: $0) }
        }
        // By device, then by share: the same question gets the same answer.
        let candidates = known.sorted { ($0.member.identity, $0.share) < ($1.member.identity, $1.share) }
        let must = Set(required)
        var choice = Choice(candidates.filter { must.contains($0.id) })
        let free = candidates.filter { !must.contains($0.id) }
        let left = max(0, count - choice.chosen.count)
        switch rules.preference {
        case .pack: choice.pack(left, from: free)
        case .spread: choice.spread(left, from: free)
        }
        return Array(choice.chosen.map(\.id).prefix(count))
    }

    private struct Candidate {
        let id: String
        let member: Pool.Member

        var share: Int { id.lastIndex(of: "-").flatMap { Int(id[id.index(after: $0)...]) } ?? 0 }

        func group(_ level: Level) -> String {
            switch level {
            case .device: member.identity
            case .root: member.device.pci?.root ?? "virtual"
            case .numa: member.device.numaNode.map { "\($0)" } ?? "none"
            case .node: ""
            }
        }
    }

    private enum Level: CaseIterable { case device, root, numa, node }

    private struct Choice {
        var chosen: [Candidate]

        init(_ chosen: [Candidate]) { self.chosen = chosen }

        mutating func pack(_ count: Int, from free: [Candidate]) {
            guard count > 0 else { return }
            for level in Level.allCases {
                let groups = Dictionary(grouping: free) { $0.group(level) }
                let fitting = groups.filter { name, members in
                    members.count >= count && chosen.allSatisfy { $0.group(level) == name }
                }
                let best = fitting.min { left, right in
                    order(left.value, level, free) < order(right.value, level, free)
                }
                if let best { return fill(count, from: best.value) }
            }
            // What is required is scattered, or there is not enough: nearest to it first.
            fill(count, from: free)
        }

        /// Among devices the least loaded first, then the one with the fewest neighbours; among groups the smallest.
        private func order(
            _ members: [Candidate], _ level: Level, _ free: [Candidate]
        ) -> (Int, Int, Int, String) {
            let first = members[0]
            let neighbours = { (level: Level) in free.count { $0.group(level) == first.group(level) } }
            return (
                level == .device ? -members.count : members.count, neighbours(.root), neighbours(.numa),
                first.member.identity
            )
        }

        /// How many shares each device has left.
        private static func counts(_ free: [Candidate]) -> [String: Int] {
            Dictionary(free.map { ($0.member.identity, 1) }, uniquingKeysWith: +)
        }

        /// Whole devices first, those already begun before others.
        private mutating func fill(_ count: Int, from free: [Candidate]) {
            var free = free
            var left = Self.counts(free)
            for _ in 0..<min(count, free.count) {
                let next = free.indices.min { nearness(free[$0], left) < nearness(free[$1], left) }
                guard let next else { return }
                chosen.append(free.remove(at: next))
                left[chosen[chosen.count - 1].member.identity, default: 0] -= 1
            }
        }

        private func nearness(_ candidate: Candidate, _ left: [String: Int]) -> (Int, Int, Int, Int) {
            let shared = { (level: Level) in
                -chosen.count { $0.group(level) == candidate.group(level) }
            }
            return (shared(.device), shared(.root), shared(.numa), -(left[candidate.member.identity] ?? 0))
        }

        mutating func spread(_ count: Int, from free: [Candidate]) {
            var free = free
            var left = Self.counts(free)
            for _ in 0..<min(count, free.count) {
                let next = free.indices.min { distance(free[$0], left) < distance(free[$1], left) }
                guard let next else { return }
                chosen.append(free.remove(at: next))
                left[chosen[chosen.count - 1].member.identity, default: 0] -= 1
            }
        }

        private func distance(_ candidate: Candidate, _ left: [String: Int]) -> (Int, Int, Int, Int) {
            let shared = { (level: Level) in chosen.count { $0.group(level) == candidate.group(level) } }
            return (shared(.device), shared(.numa), shared(.root), -(left[candidate.member.identity] ?? 0))
        }
    }
}
