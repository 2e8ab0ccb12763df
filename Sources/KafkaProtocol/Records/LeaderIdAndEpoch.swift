/// Who leads a partition, told to a client that asked someone else.
package struct LeaderIdAndEpoch: WireStructure, Equatable {
    package var leaderId: Int32 = -1
    package var leaderEpoch: Int32 = -1

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("leaderId", &leaderId)
        try c.field("leaderEpoch", &leaderEpoch)
    }
}
