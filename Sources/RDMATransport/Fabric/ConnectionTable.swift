/// Connections by id. Slots are reused, ids are not: each use of a slot has its own generation.
struct ConnectionTable<Connection: AnyObject> {
    private var slots: [(generation: UInt32, connection: Connection?)] = []
    private var free: [UInt32] = []
    private let capacity: Int

    init(capacity: Int) { self.capacity = capacity }

    var count: Int { slots.count - free.count }
    var isFull: Bool { count >= capacity }

    subscript(id: ConnectionID) -> Connection? {
        guard Int(id.index) < slots.count else { return nil }
        let slot = slots[Int(id.index)]
        return slot.generation == id.generation ? slot.connection : nil
    }

    /// Makes a connection with its new id; nil when the table is full.
    mutating func insert(_ make: (ConnectionID) throws(FabricError) -> Connection) throws(FabricError) -> Connection? {
        guard !isFull else { return nil }
        let index = free.last ?? UInt32(slots.count)
        let isNew = Int(index) == slots.count
        let generation = isNew ? 1 : slots[Int(index)].generation &+ 1
        let connection = try make(ConnectionID(index: index, generation: generation))
        if isNew {
            slots.append((generation, connection))
        } else {
            free.removeLast()
            slots[Int(index)] = (generation, connection)
        }
        return connection
    }

    mutating func remove(_ id: ConnectionID) {
        guard self[id] != nil else { return }
        slots[Int(id.index)].connection = nil
        free.append(id.index)
    }

    /// Calls `body` for each connection; `body` may not change the table.
    func forEach(_ body: (Connection) -> Void) {
        for slot in slots { if let connection = slot.connection { body(connection) } }
    }

    func first(where matches: (Connection) -> Bool) -> Connection? {
        for slot in slots { if let connection = slot.connection, matches(connection) { return connection } }
        return nil
    }

    var all: [Connection] { slots.compactMap(\.connection) }
}
