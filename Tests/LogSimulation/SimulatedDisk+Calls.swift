internal import Glibc

/// The calls themselves: results are the kernel's.
extension SimulatedDisk.State {
    enum Verdict {
        case proceed(isShort: Bool)
        case fail(Int32)
        case die(isDone: Bool, SimulatedDisk.Ending)
    }

    /// What the plan has for a call.
    mutating func verdict(_ call: SystemCall, _ path: String) -> Verdict {
        let verdict = planned(call)
        if trace != nil {
            let note =
                switch verdict {
                case .proceed(let isShort): isShort ? " (short)" : ""
                case .fail(let number): " fails with \(number)"
                case .die(let isDone, let ending): " and the \(ending) ends, \(isDone ? "after" : "before") it"
                }
            trace!.append("\(count) \(call.rawValue) \(path)\(note)")
        }
        return verdict
    }

    private mutating func planned(_ call: SystemCall) -> Verdict {
        var isShort = false
        switch plan {
        case _ where isPaused: break
        case .none: break
        case .die(let change, let losingPower):
            guard call.isChange else { break }
            count += 1
            if count >= change { return .die(isDone: generator.oneIn(2), losingPower ? .power : .process) }
        case .fail(let first, let fault, let isLasting):
            guard fault.canHappen(to: call) else { break }
            count += 1
            guard count == first || (isLasting && count > first) else { break }
            faultsMet += 1
            if fault != .short { return .fail(fault.number) }
            isShort = true
        }
        if shortOneIn > 0 && (call == .read || call == .write) { isShort = generator.oneIn(shortOneIn) }
        return .proceed(isShort: isShort)
    }

    var hasFreeDescriptor: Bool { descriptors.count < descriptorsMax || descriptors.contains { $0 == nil } }

    /// What a path stands for.
    func find(_ path: String) -> SimulatedNode? {
        // `..` stands only at the end, where the log asks for a parent.
        var names = path.split(separator: "/")
        if names.last == ".." { names.removeLast(2) }
        var node = root
        for name in names {
            guard let next = node.entries[String(name)] else { return nil }
            node = next
        }
        return node
    }

    /// The directory that a path's last name is in, and the name.
    private func place(_ path: String) -> (directory: SimulatedNode, name: String)? {
        let slash = path.lastIndex(of: "/")!
        guard let directory = find(String(path[..<slash])), directory.isDirectory else { return nil }
        return (directory, String(path[path.index(after: slash)...]))
    }

    private mutating func change(_ steps: SimulatedDisk.NameChange) {
        for step in steps { step.directory.entries[step.name] = step.node }
        nameChanges.append(steps)
    }

    mutating func open(_ path: String, _ flags: Int32) -> Int {
        guard hasFreeDescriptor else { return -Int(EMFILE) }
        let node: SimulatedNode
        if let found = find(path) {
            if flags & O_CREAT != 0 && flags & O_EXCL != 0 { return -Int(EEXIST) }
            if found.isDirectory && flags & O_ACCMODE != O_RDONLY { return -Int(EISDIR) }
            if !found.isDirectory && flags & O_DIRECTORY != 0 { return -Int(ENOTDIR) }
            if flags & O_TRUNC != 0 { found.truncate(to: 0) }
            node = found
        } else {
            guard flags & O_CREAT != 0, let place = place(path) else { return -Int(ENOENT) }
            node = SimulatedNode(isDirectory: false)
            change([(place.directory, place.name, node)])
        }
        let file = SimulatedDisk.OpenFile(node: node, path: path)
        if let free = descriptors.firstIndex(where: { $0 == nil }) {
            descriptors[free] = file
            return free
        }
        descriptors.append(file)
        return descriptors.count - 1
    }

    mutating func createDirectory(_ path: String) -> Int {
        guard find(path) == nil else { return -Int(EEXIST) }
        guard let place = place(path) else { return -Int(ENOENT) }
        change([(place.directory, place.name, SimulatedNode(isDirectory: true))])
        return 0
    }

    mutating func synchronizeDirectory(_ path: String) -> Int {
        guard let directory = find(path) else { return -Int(ENOENT) }
        guard directory.isDirectory else { return -Int(ENOTDIR) }
        guard hasFreeDescriptor else { return -Int(EMFILE) }
        if lies.contains(.synchronizeDirectory) { return 0 }
        nameChanges.removeAll { change in
            guard change.contains(where: { $0.directory === directory }) else { return false }
            Self.keep(change)
            return true
        }
        return 0
    }

    /// Everything, wherever it is.
    mutating func synchronizeAll() -> Int {
        if !lies.contains(.synchronizeDirectory) {
            nameChanges.forEach(Self.keep)
            nameChanges = []
        }
        if !lies.contains(.synchronize) { root.forEachFile { $0.synchronize() } }
        return 0
    }

    mutating func rename(_ old: String, _ new: String) -> Int {
        guard let from = place(old), let to = place(new), let node = from.directory.entries[from.name] else {
            return -Int(ENOENT)
        }
        if let target = to.directory.entries[to.name] {
            if target === node { return 0 }
            if target.isDirectory != node.isDirectory { return -Int(target.isDirectory ? EISDIR : ENOTDIR) }
            if !target.entries.isEmpty { return -Int(ENOTEMPTY) }
        }
        change([(from.directory, from.name, nil), (to.directory, to.name, node)])
        return 0
    }

    mutating func remove(_ path: String, isDirectory: Bool) -> Int {
        guard let place = place(path), let node = place.directory.entries[place.name] else { return -Int(ENOENT) }
        guard node.isDirectory == isDirectory else { return -Int(isDirectory ? ENOTDIR : EISDIR) }
        guard node.entries.isEmpty else { return -Int(ENOTEMPTY) }
        change([(place.directory, place.name, nil)])
        return 0
    }
}
