-- Forgets a customer's grants; their codes are spent. ARGV: subject.
local p = KEYS[1]
local list = p .. ':u:' .. ARGV[1]
for _, delivery in ipairs(redis.call('ZRANGE', list, 0, -1)) do
  redis.call('DEL', p .. ':g:' .. delivery)
  redis.call('ZREM', p .. ':r', delivery)
end
redis.call('DEL', list)
return 1
