package weights

import "strings"

// pushGlobal names a class or function. Those that serve only to take over a computer end the reading: nothing would
// run here, but what else such a file holds deserves no trust.
func (m *unpickler) pushGlobal(module, name string) {
	switch module {
	case "os", "posix", "nt", "sys", "subprocess":
		m.refuse(module, name)
	case "builtins", "__builtin__":
		switch name {
		case "eval", "exec", "execfile", "compile", "open", "__import__":
			m.refuse(module, name)
		}
	}
	m.push(global(module + "." + name))
}

func (m *unpickler) refuse(module, name string) {
	m.fail(ErrUnsupported, "the pickle names %s, which a program would call and a weight file has no use for; "+
		"nothing was run, but do not open this file elsewhere", quote(module+"."+name))
}

// call stands for the call of a function or the making of an object.
func (m *unpickler) call(function, arguments any) {
	args, ok := arguments.(tuple)
	if !ok && m.err == nil {
		m.fail(ErrDamaged, "the pickle calls with a %s for arguments", kindOf(arguments))
	}
	if m.err != nil {
		return
	}
	switch f := function.(type) {
	case global:
		switch f {
		case "collections.OrderedDict":
			m.pushOrderedDict(args)
		case "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2":
			m.pushTensor(args)
		case "torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state", "torch.nn.parameter.Parameter":
			if len(args) == 0 {
				m.fail(ErrDamaged, "%s without a tensor", f)
				return
			}
			m.push(args[0])
		default:
			m.push(opaque(f))
		}
	case opaque:
		m.push(f)
	default:
		m.fail(ErrDamaged, "the pickle calls a %s", kindOf(f))
	}
}

// pushOrderedDict makes a dict from no argument or, as Python 2 has it, from a list of pairs.
func (m *unpickler) pushOrderedDict(args tuple) {
	d := &dict{}
	m.push(d)
	if len(args) == 0 {
		return
	}
	pairs, ok := args[0].(*array)
	if !ok {
		m.fail(ErrDamaged, "an OrderedDict made of a %s", kindOf(args[0]))
		return
	}
	if m.spend(len(pairs.items)); m.err != nil {
		return
	}
	for _, item := range pairs.items {
		pair, ok := item.(tuple)
		if a, isArray := item.(*array); isArray {
			pair, ok = a.items, true
		}
		if !ok || len(pair) != 2 {
			m.fail(ErrDamaged, "an OrderedDict made of something else than pairs")
			return
		}
		if key, ok := pair[0].(string); ok {
			d.set(key, pair[1])
		}
	}
}

// pushTensor takes (storage, offset, size, stride, …); what follows belongs to the gradient.
func (m *unpickler) pushTensor(args tuple) {
	if len(args) >= 4 {
		if unknown, ok := args[0].(opaque); ok {
			m.push(unknown)
			return
		}
		from, ok0 := args[0].(storageView)
		offset, ok1 := args[1].(int64)
		shape, ok2 := m.dimensions(args[2])
		stride, ok3 := m.dimensions(args[3])
		if ok0 && ok1 && ok2 && ok3 && len(shape) == len(stride) {
			m.push(&tensorRef{from: from, offset: offset, shape: shape, stride: stride})
			return
		}
	}
	m.fail(ErrDamaged, "a tensor is described by something else than storage, offset, shape and strides")
}

func (m *unpickler) dimensions(v any) ([]int64, bool) {
	const maxRank = 64 // PyTorch's own limit
	t, ok := v.(tuple)
	if !ok || len(t) > maxRank {
		return nil, false
	}
	m.spend(len(t))
	d := make([]int64, len(t))
	for i := range t {
		if d[i], ok = t[i].(int64); !ok {
			return nil, false
		}
	}
	return d, true
}

// pushPersistent resolves ("storage", class, key, device, length) to a reference. The older format adds a view: nil or
// (key of the view, offset, length).
func (m *unpickler) pushPersistent(id any) {
	t, _ := id.(tuple)
	if len(t) > 0 && t[0] == "module" {
		m.fail(ErrUnsupported, "it holds a pickled module with its source; %s", saveStateDict)
		return
	}
	if len(t) < 5 || len(t) > 6 || t[0] != "storage" {
		m.fail(ErrDamaged, "the pickle refers to something else than a storage")
		return
	}
	class, ok0 := t[1].(global)
	key, ok1 := t[2].(string)
	length, ok2 := t[4].(int64)
	if !ok0 || !ok1 || !ok2 || length < 0 {
		m.fail(ErrDamaged, "a storage is described by something else than class, key and length")
		return
	}
	dtype, ok := storageType(class)
	if !ok {
		m.push(opaque(class))
		return
	}
	s, ok := m.storages[key]
	if !ok {
		s = &storage{key: key, dtype: dtype, length: length}
		m.storages[key] = s
	} else if s.dtype != dtype || s.length != length {
		m.fail(ErrDamaged, "storage %s has two types or lengths", quote(key))
		return
	}
	window := storageView{storage: s, length: length}
	if len(t) == 6 && t[5] != nil {
		view, _ := t[5].(tuple)
		if len(view) == 3 {
			window.offset, ok0 = view[1].(int64)
			window.length, ok1 = view[2].(int64)
		}
		if len(view) != 3 || !ok0 || !ok1 || window.offset < 0 || window.length < 0 || window.offset > length-window.length {
			m.fail(ErrDamaged, "storage %s has a view that leaves it", quote(key))
			return
		}
	}
	m.push(window)
}

// storageType maps a storage class, on whichever device, to what it stores.
func storageType(class global) (DType, bool) {
	name, _ := strings.CutPrefix(string(class), "torch.")
	name, _ = strings.CutPrefix(name, "cuda.")
	switch name {
	case "DoubleStorage":
		return F64, true
	case "FloatStorage":
		return F32, true
	case "HalfStorage":
		return F16, true
	case "BFloat16Storage":
		return BF16, true
	case "LongStorage":
		return I64, true
	case "IntStorage":
		return I32, true
	case "ShortStorage":
		return I16, true
	case "CharStorage":
		return I8, true
	case "ByteStorage":
		return U8, true
	case "BoolStorage":
		return Bool, true
	}
	return "", false
}
