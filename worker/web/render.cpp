/* The only C++ of the server: mustache by libkainjow-mustache. No exception leaves this file. */
#include "worker/web/render.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <kainjow/mustache.hpp>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace
{

using kainjow::mustache::basic_context;
using kainjow::mustache::data;
using kainjow::mustache::mustache;

/* What the value's text is in a page. Characters that HTML forbids become U+FFFD: control characters,
 * NUL among them, and noncharacters. The text is valid UTF-8. */
std::string escape(const std::string &s)
{
    static const std::string none = "\xef\xbf\xbd";
    std::string out;

    out.reserve(s.size() + s.size() / 8);
    for (size_t i = 0; i < s.size(); i++) {
        auto byte = [&](size_t k) { return i + k < s.size() ? (unsigned char)s[i + k] : 0u; };
        unsigned c = byte(0);
        bool last = byte(1) == 0xbf && byte(2) >= 0xbe; /* U+xxFFFE, U+xxFFFF, behind its plane */
        if (c == '&')
            out += "&amp;";
        else if (c == '<')
            out += "&lt;";
        else if (c == '>')
            out += "&gt;";
        else if (c == '"')
            out += "&quot;";
        else if (c == '\'')
            out += "&#39;";
        else if ((c < ' ' && c != '\t' && c != '\n' && c != '\r') || c == 0x7f)
            out += none;
        else if (c == 0xc2 && byte(1) < 0xa0)
            out += none, i += 1;
        else if (c == 0xef && (last || (byte(1) == 0xb7 && byte(2) >= 0x90 && byte(2) <= 0xaf)))
            out += none, i += 2;
        else if (c >= 0xf0 && (byte(1) & 0x0f) == 0x0f && byte(2) == 0xbf && byte(3) >= 0xbe)
            out += none, i += 3;
        else
            out += (char)c;
    }
    return out;
}

data to_data(const json_t *value)
{
    const char *name;
    json_t *member;
    size_t i;

    switch (json_typeof(value)) {
    case JSON_OBJECT: {
        data object(data::type::object);
        json_object_foreach (const_cast<json_t *>(value), name, member)
            object[name] = to_data(member);
        return object;
    }
    case JSON_ARRAY: {
        data list(data::type::list);
        /* data::push_back() and a vector that grows would copy the members with all that is in them */
        auto &members = const_cast<kainjow::mustache::list &>(list.list_value());
        members.reserve(json_array_size(value));
        json_array_foreach (value, i, member)
            members.push_back(to_data(member));
        return list;
    }
    case JSON_STRING:
        if (json_string_length(value) == 0)
            return data(false);
        return data(std::string(json_string_value(value), json_string_length(value)));
    case JSON_INTEGER:
        return data(std::to_string(json_integer_value(value)));
    case JSON_TRUE:
        return data(true);
    case JSON_REAL:
        return data(std::to_string(json_real_value(value)));
    case JSON_FALSE:
    case JSON_NULL:
        break;
    }
    return data(false);
}

/* Where the names of a template are looked up: render.h. */
class names : public basic_context<std::string>
{
  public:
    explicit names(const data *root)
    {
        push(root);
    }
    void push(const data *d) override
    {
        stack.push_back(d);
    }
    void pop() override
    {
        stack.pop_back();
    }
    const data *get(const std::string &name) const override
    {
        if (name == ".")
            return stack.back();
        auto at = stack.rbegin();
        while (!(*at)->is_object())
            ++at;
        const data *found = name.compare(0, 5, "site.") == 0 ? stack.front() : *at;
        for (size_t from = 0, dot; found && from <= name.size(); from = dot + 1) {
            dot = std::min(name.find('.', from), name.size());
            found = found->get(name.substr(from, dot - from));
        }
        if (!found)
            throw std::runtime_error("the model has no `" + name + "`");
        return found;
    }
    const data *get_partial(const std::string &name) const override
    {
        return get(name);
    }

  private:
    std::vector<const data *> stack;
};

/* A template with its partials in it, and without the blanks at the beginnings of lines. */
std::string whole(const std::string &name)
{
    size_t len = 0;
    const char *text = template_text(name.c_str(), &len);
    std::string in, out;

    if (!text)
        throw std::runtime_error("there is no template " + name);
    in.assign(text, len);
    for (size_t i = 0; i < in.size(); i++) {
        if (in.compare(i, 4, "{{> ") == 0) {
            size_t end = in.find("}}", i);
            out += whole(in.substr(i + 4, end - i - 4));
            i = end + 1;
        } else if (!((in[i] == ' ' || in[i] == '\t') && (out.empty() || out.back() == '\n'))) {
            out += in[i];
        }
    }
    return out;
}

mustache &parsed(const std::string &name)
{
    static std::map<std::string, mustache> all;
    auto found = all.find(name);

    if (found == all.end()) {
        mustache m(whole(name));
        if (!m.is_valid())
            throw std::runtime_error(m.error_message());
        m.set_custom_escape(escape);
        found = all.emplace(name, std::move(m)).first;
    }
    return found->second;
}

struct sink {
    std::string text;
    sink &operator<<(const std::string &s)
    {
        text += s;
        return *this;
    }
};

} // namespace

extern "C" char *render(const char *name, const json_t *model, size_t *ret_len,
                        char fault[RENDER_FAULT_SIZE])
{
    try {
        data root = to_data(model);
        names context(&root);
        sink out;
        parsed(name).render(context, out);
        char *page = static_cast<char *>(malloc(out.text.size() + 1));
        if (!page)
            throw std::bad_alloc();
        memcpy(page, out.text.c_str(), out.text.size() + 1);
        *ret_len = out.text.size();
        return page;
    } catch (const std::exception &e) {
        snprintf(fault, RENDER_FAULT_SIZE, "%s", e.what());
    } catch (...) {
        snprintf(fault, RENDER_FAULT_SIZE, "unknown exception");
    }
    return nullptr;
}
