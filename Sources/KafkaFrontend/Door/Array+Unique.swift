extension Array {
    /// Without those whose key was there before: what a request names a thousand times is answered once.
    func unique<Key: Hashable>(by key: (Element) -> Key) -> [Element] {
        guard count > 1 else { return self }
        var seen = Set<Key>(minimumCapacity: count)
        return filter { seen.insert(key($0)).inserted }
    }
}

extension Array where Element: Hashable {
    func unique() -> [Element] { unique { $0 } }
}
