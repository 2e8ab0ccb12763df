/// Events in the order in which they came. An array would check its owner's exclusivity at each event.
@unsafe struct EventQueue {
    private var events: UnsafeMutablePointer<FabricEvent>
    private var capacity = 64
    private(set) var count = 0

    init() { unsafe events = .allocate(capacity: 64) }

    func deallocate() { unsafe events.deallocate() }

    @inline(__always) mutating func append(_ event: FabricEvent) {
        if unsafe count == capacity { unsafe grow() }
        unsafe (events + count).initialize(to: event)
        unsafe count += 1
    }

    @inline(never) private mutating func grow() {
        let larger = unsafe UnsafeMutablePointer<FabricEvent>.allocate(capacity: capacity * 2)
        unsafe larger.moveInitialize(from: events, count: count)
        unsafe events.deallocate()
        unsafe events = unsafe larger
        unsafe capacity *= 2
    }

    mutating func drain(into all: inout [FabricEvent]) {
        unsafe all.append(contentsOf: UnsafeBufferPointer(start: events, count: count))
        unsafe count = 0
    }
}
