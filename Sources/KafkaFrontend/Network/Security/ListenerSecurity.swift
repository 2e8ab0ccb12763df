/// What a listener asks of its clients. By default nothing: plain text, and everybody is `User:ANONYMOUS`.
package struct ListenerSecurity: Sendable {
    /// Nil: plain text.
    package var tls: TLSFiles?
    /// Nil: nobody has to say who he is.
    package var users: UserStore?

    package init(tls: TLSFiles? = nil, users: UserStore? = nil) {
        self.tls = tls
        self.users = users
    }
}
