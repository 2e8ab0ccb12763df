/// Where a broker can be reached that an answer names.
package struct NodeEndpoint: WireStructure, Equatable {
    package var nodeId: Int32 = 0
    package var host = ""
    package var port: Int32 = 0
    package var rack: String?

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("nodeId", &nodeId)
        try c.field("host", &host)
        try c.field("port", &port)
        try c.field("rack", &rack)
    }
}
