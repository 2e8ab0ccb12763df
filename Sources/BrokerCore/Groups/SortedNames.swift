/// Names in order: listing goes on behind any of them without looking at the others.
struct SortedNames {
    private var names: [String] = []

    /// The place of the first name that is not less.
    /// - Complexity: O(log count).
    private func place(of name: String) -> Int {
        var (low, high) = (0, names.count)
        while low < high {
            let middle = (low + high) / 2
            if names[middle] < name { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// Takes in a name that is not there.
    mutating func insert(_ name: String) { names.insert(name, at: place(of: name)) }

    /// Drops a name that is there.
    mutating func remove(_ name: String) { names.remove(at: place(of: name)) }

    /// Those not less than a name.
    func from(_ name: String) -> ArraySlice<String> { names[place(of: name)...] }

    /// Those greater than a name.
    func after(_ name: String) -> ArraySlice<String> {
        let rest = from(name)
        return rest.first == name ? rest.dropFirst() : rest
    }
}
