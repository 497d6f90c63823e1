#include "worker/validation/schemas.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define U            "http://a.com/x"

#define MISSING(f)   "{'" f "':['Missing data for required field.']}"
#define UNKNOWN(f)   "{'" f "':['Unknown field.']}"
#define NO_STRING(f) "{'" f "':['Not a valid string.']}"

/* Bodies and expected texts are JSON with ' for " and ` for '. Expected: SAME, the coerced body,
 * or, where it is refused, the errors. */
#define SAME ""
struct row {
    const char *body, *loaded, *errors, *comment;
};

/* clang-format off */
static const struct row job_rows[] = {
    {"{'job_queue':'q'}", "{'job_queue':'q','exclude_agents':[]}", NULL, "the least"},
    {"{'job_queue':' '}", "{'job_queue':' ','exclude_agents':[]}", NULL, "a space is a name"},
    {"{}", NULL, MISSING("job_queue"), "nothing"},
    {"{'job_queue':''}", NULL, "{'job_queue':['Shorter than minimum length 1.']}", "empty"},
    {"{'job_queue':5}", NULL, NO_STRING("job_queue"), "number"},
    {"{'job_queue':null}", NULL, "{'job_queue':['Field may not be null.']}", "null"},
    {"{'JOB_QUEUE':'q'}", NULL,
     "{'job_queue':['Missing data for required field.'],'JOB_QUEUE':['Unknown field.']}", "case"},
    {"null", NULL, "{'_schema':['Invalid input type.']}", "null"},
    {"'reserve: x'", NULL, "{'_schema':['Invalid input type.']}", "a string"},
    {"{'job_queue':'q','option':'foo'}", NULL, UNKNOWN("option"), "unknown"},
    {"{'debug':'yes','exclude_agents':['a1'],'job_priority':'5','job_status_webhook':'http://h',"
     "'reserve_data':{'timeout':'1h','ssh_keys':['lp:me']},'allocate_data':{'allocate':true},"
     "'test_data':{'secrets':{'A_1':'p/q-1'},'test_password':'p','test_username':'u',"
     "'attachments':[{'device':'d','agent':'a'}],'test_cmds':'ls'},"
     "'firmware_update_data':{'$v.':[1]},'provision_data':{'distro':'noble'},"
     "'allocation_timeout':3.9,'output_timeout':-1,'global_timeout':'1_0','job_queue':'q',"
     "'tags':['a','a'],'name':'n','parent_job_id':'','job_id':'x'}",
     "{'job_id':'x','parent_job_id':'','name':'n','tags':['a','a'],'job_queue':'q',"
     "'global_timeout':10,'output_timeout':-1,'allocation_timeout':3,"
     "'provision_data':{'distro':'noble'},'firmware_update_data':{'$v.':[1]},"
     "'test_data':{'test_cmds':'ls','attachments':[{'agent':'a','device':'d'}],"
     "'test_username':'u','test_password':'p','secrets':{'A_1':'p/q-1'}},"
     "'allocate_data':{'allocate':true},'reserve_data':{'ssh_keys':['lp:me'],'timeout':3600},"
     "'job_status_webhook':'http://h','job_priority':5,'exclude_agents':['a1'],'debug':true}",
     NULL, "everything, in the order of the schema"},
    {"{'job_queue':5,'tags':'t','test_data':{'y':1},'zz':1}", NULL,
     "{'tags':['Not a valid list.'],'job_queue':['Not a valid string.'],"
     "'test_data':{'y':['Unknown field.']},'zz':['Unknown field.']}", "all faults at once"},
    {"{'job_queue':'q','attachments_status':'waiting','client_id':1,'started_at':1,"
     "'created_at':1}", NULL,
     "{'attachments_status':['Unknown field.'],'client_id':['Unknown field.'],"
     "'started_at':['Unknown field.'],'created_at':['Unknown field.']}", "made by the server"},
};

static const struct row kept_job_rows[] = {
    {"{'option':'foo','job_queue':'q','job_state':1}",
     "{'job_queue':'q','exclude_agents':[],'option':'foo','job_state':1}", NULL, "passed along"},
    {"{'job_queue':'q','test_data':{'zz':1}}", NULL, "{'test_data':{'zz':['Unknown field.']}}",
     "not in nested objects"},
    {"{'job_queue':'q','provision_data':{'zz':1}}", NULL,
     "{'provision_data':{'_schema':['Invalid provision data schema.']}}", "nor in variants"},
    {"{'x':1,'attachments_status':'waiting','client_id':1,'started_at':1,'created_at':1}", NULL,
     "{'job_queue':['Missing data for required field.'],'attachments_status':['Unknown field.'],"
     "'client_id':['Unknown field.'],'started_at':['Unknown field.'],"
     "'created_at':['Unknown field.']}", "made by the server"},
};

static const struct row secret_rows[] = {
    {"{'value':'v'}", SAME, NULL, "the least"},
    {"{'value':'v','expire_after':null,'ephemeral':'yes'}",
     "{'value':'v','expire_after':null,'ephemeral':true}", NULL, "null: never"},
    {"{'value':'','expire_after':0,'ephemeral':null,'zz':1}", NULL,
     "{'value':['Shorter than minimum length 1.'],'expire_after':['Must be greater than or equal "
     "to 1.'],'ephemeral':['Field may not be null.'],'zz':['Unknown field.']}", "all faults"},
    {"{'value':'a\\u0000'}", NULL, "{'value':['Must not hold a NUL character.']}", "a NUL"},
};

/* One field of a job besides job_queue. */
static const struct row job_field_rows[] = {
    {"{'job_id':''}", SAME, NULL, "empty"},
    {"{'job_id':'nope'}", SAME, NULL, "checked later"},
    {"{'job_id':5}", NULL, NO_STRING("job_id"), "number"},
    {"{'job_id':null}", NULL, "{'job_id':['Field may not be null.']}", "null"},
    {"{'name':5}", NULL, NO_STRING("name"), "number"},
    {"{'name':'a\\u0000b'}", SAME, NULL, "a NUL"},
    {"{'parent_job_id':[]}", NULL, NO_STRING("parent_job_id"), "list"},
    {"{'job_status_webhook':'x y'}", SAME, NULL, "not checked here"},
    {"{'tags':[]}", SAME, NULL, "empty"},
    {"{'tags':'ci'}", NULL, "{'tags':['Not a valid list.']}", "string"},
    {"{'tags':['a',1,null]}", NULL,
     "{'tags':{'1':['Not a valid string.'],'2':['Field may not be null.']}}", "members"},
    {"{'job_priority':1.9}", "{'job_priority':1}", NULL, "real"},
    {"{'job_priority':-3}", SAME, NULL, "negative"},
    {"{'job_priority':'high'}", NULL, "{'job_priority':['Not a valid integer.']}", "word"},
    {"{'job_priority':true}", NULL, "{'job_priority':['Not a valid integer.']}", "boolean"},
    {"{'job_priority':null}", NULL, "{'job_priority':['Field may not be null.']}", "null"},
    {"{'global_timeout':'3600'}", "{'global_timeout':3600}", NULL, "text"},
    {"{'output_timeout':'1h'}", NULL, "{'output_timeout':['Not a valid integer.']}", "duration"},
    {"{'debug':2}", NULL, "{'debug':['Not a valid boolean.']}", "number"},
    {"{'exclude_agents':null}", NULL, "{'exclude_agents':['Field may not be null.']}", "null"},
    {"{'exclude_agents':['a',2]}", NULL, "{'exclude_agents':{'1':['Not a valid string.']}}",
     "members"},
    {"{'firmware_update_data':{'attachments':null}}", SAME, NULL, "free"},
    {"{'firmware_update_data':[]}", NULL,
     "{'firmware_update_data':['Not a valid mapping type.']}", "list"},
    {"{'allocate_data':'x'}", NULL, "{'allocate_data':['Not a valid mapping type.']}", "string"},
    {"{'test_data':{}}", SAME, NULL, "empty"},
    {"{'test_data':null}", NULL, "{'test_data':['Field may not be null.']}", "null"},
    {"{'test_data':'skip'}", NULL, "{'test_data':{'_schema':['Invalid input type.']}}", "string"},
    {"{'test_data':{'test_cmds':['ls']}}", NULL,
     "{'test_data':{'test_cmds':['Not a valid string.']}}", "list of commands"},
    {"{'test_data':{'attachments':[]}}", SAME, NULL, "no attachments"},
    {"{'test_data':{'attachments':[{}]}}", NULL,
     "{'test_data':{'attachments':{'0':{'agent':['Missing data for required field.']}}}}",
     "attachment without agent"},
    {"{'test_data':{'attachments':[{'agent':'a','local':'l'}]}}", NULL,
     "{'test_data':{'attachments':{'0':{'local':['Unknown field.']}}}}", "local"},
    {"{'test_data':{'attachments':['a']}}", NULL,
     "{'test_data':{'attachments':{'0':{'_schema':['Invalid input type.']}}}}", "string"},
    {"{'test_data':{'attachments':{}}}", NULL,
     "{'test_data':{'attachments':['Not a valid list.']}}", "object"},
    {"{'test_data':{'secrets':{}}}", SAME, NULL, "no secrets"},
    {"{'test_data':{'secrets':{'1A':'a b'}}}", NULL,
     "{'test_data':{'secrets':{'1A':{'key':['String does not match expected pattern.'],"
     "'value':['String does not match expected pattern.']}}}}", "patterns"},
    {"{'test_data':{'secrets':{'A':5,'B':null,'C':'','':'a','D':'/'}}}", NULL,
     "{'test_data':{'secrets':{'A':{'value':['Not a valid string.']},"
     "'B':{'value':['Field may not be null.']},"
     "'C':{'value':['String does not match expected pattern.']},"
     "'':{'key':['String does not match expected pattern.']}}}}", "more patterns"},
    {"{'test_data':{'secrets':[]}}", NULL,
     "{'test_data':{'secrets':['Not a valid mapping type.']}}", "list"},
    {"{'reserve_data':{}}", SAME, NULL, "empty"},
    {"{'reserve_data':{'timeout':null}}", "{'reserve_data':{}}", NULL, "null: not given"},
    {"{'reserve_data':{'timeout':'2d 5h30m'}}", "{'reserve_data':{'timeout':192600}}", NULL,
     "duration"},
    {"{'reserve_data':{'timeout':0}}", SAME, NULL, "none"},
    {"{'reserve_data':{'timeout':'1w'}}", NULL,
     "{'reserve_data':{'timeout':['Invalid duration format: Invalid duration format: `1w`']}}",
     "no such unit"},
    {"{'reserve_data':{'timeout':-1}}", NULL,
     "{'reserve_data':{'timeout':['Invalid duration format: Duration cannot be negative']}}",
     "negative"},
    {"{'reserve_data':{'timeout':true}}", NULL,
     "{'reserve_data':{'timeout':['Invalid duration format: Duration must be string or int, got "
     "<class `bool`>']}}", "boolean"},
    {"{'reserve_data':{'ssh_keys':['lp:a','gh:b/c','lp:x\\n','gh:a:b\\u0000']}}", SAME, NULL,
     "keys"},
    {"{'reserve_data':{'ssh_keys':['lp:','lp:\\n','xx:a','lp:a b','LP:a','gh:a\\n\\n',' lp:a',"
     "'lp:a\\u00a0',1]}}", NULL,
     "{'reserve_data':{'ssh_keys':{'0':['String does not match expected pattern.'],"
     "'1':['String does not match expected pattern.'],"
     "'2':['String does not match expected pattern.'],"
     "'3':['String does not match expected pattern.'],"
     "'4':['String does not match expected pattern.'],"
     "'5':['String does not match expected pattern.'],"
     "'6':['String does not match expected pattern.'],"
     "'7':['String does not match expected pattern.'],'8':['Not a valid string.']}}}", "no keys"},
    {"{'reserve_data':{'ssh_keys':'lp:a'}}", NULL,
     "{'reserve_data':{'ssh_keys':['Not a valid list.']}}", "one key"},
    {"{'provision_data':null}", SAME, NULL, "null is stored"},
    {"{'provision_data':'skip'}", NULL,
     "{'provision_data':{'_schema':'Invalid data type: skip'}}", "string"},
    {"{'provision_data':[]}", NULL, "{'provision_data':{'_schema':'Invalid data type: []'}}",
     "list"},
};

#define INVALID NULL, "{'_schema':['Invalid provision data schema.']}"
#define IOT     "'provision_plan':{'a':1}"
#define KVM     "'url':'" U "','robot_tasks':['t']"

/* The value of provision_data; a coerced one shows which variant accepted. */
static const struct row provision_rows[] = {
    {"{}", SAME, NULL, "maas takes the empty one"},
    {"{'zz':1}", INVALID, "unknown"},
    {"{'type':'maas'}", INVALID, "type is no field"},
    {"{'url':null}", INVALID, "null"},

    {"{'url':'" U "'}", SAME, NULL, "1 cm3"},
    {"{'url':'http://localhost/x'}", SAME, NULL, "1 localhost"},
    {"{'url':'http://maas/x'}", INVALID, "1 bad URL"},
    {"{'url':''}", INVALID, "1 empty URL"},
    {"{'url':'" U "','distro':'noble'}", INVALID, "url and distro"},

    {"{'distro':'noble','kernel':'k','user_data':'u','disks':[{'id':1}],'ephemeral':'on'}",
     "{'distro':'noble','kernel':'k','user_data':'u','disks':[{'id':1}],'ephemeral':true}", NULL,
     "2 maas"},
    {"{'disks':[]}", SAME, NULL, "2 no disks"},
    {"{'disks':['sda']}", INVALID, "2 disks are objects"},
    {"{'distro':5}", INVALID, "2 number"},
    {"{'user_data':'u'}", SAME, NULL, "2 user_data"},

    {"{'jobs':[{'job_queue':5}]}", SAME, NULL, "3 multi, free content"},
    {"{'jobs':[]}", INVALID, "3 none"},
    {"{'jobs':['j']}", INVALID, "3 string"},

    {"{'media':'sd','url':'" U "','create_user':1}",
     "{'url':'" U "','create_user':true,'media':'sd'}", NULL, "4 muxpi by url"},
    {"{'use_attachment':'a','attachments':[{'agent':'a'},{'agent':'b','device':'c'}],"
     "'boot_check_url':'not checked','media':'usb'}", SAME, NULL, "4 muxpi by attachment"},
    {"{'use_attachment':''}", SAME, NULL, "4 present, though empty"},
    {"{'create_user':true}", INVALID, "4 no image"},
    {"{'use_attachment':'a','media':'SD'}", INVALID, "4 other medium"},
    {"{'use_attachment':'a','attachments':[{'device':'c'}]}", INVALID, "4 bad attachment"},

    {"{'skip':'true'}", "{'skip':true}", NULL, "5 noprovision"},
    {"{'skip':'x'}", INVALID, "5 no boolean"},

    {"{'url':'" U "','token_file':'t','user_data':'u','redeploy_cfg':'r','authorized_keys':'k'}",
     SAME, NULL, "6 oem_autoinstall as it was before"},
    {"{'attachments':[]}", SAME, NULL, "6 nothing is required"},
    {"{'attachments':[{'agent':'a'},{'agent':'b'}]}", SAME, NULL, "6 attachments"},
    {"{'user_data':'x','redeploy_cfg':'y'}", SAME, NULL, "6 two texts"},
    {"{'update_user_data':'no','control_host_iso_url':'x','control_host_iso_type':'y'}",
     "{'control_host_iso_url':'x','control_host_iso_type':'y','update_user_data':false}", NULL,
     "6 the rest"},
    {"{'token_file':1}", INVALID, "6 number"},

    {"{'url':'" U "'," IOT "}", SAME, NULL, "8 iot_custom by url"},
    {"{'urls':['" U "']," IOT ",'ubuntu_sso_email':'a@b.com','provisioning_timeout':'5'}",
     "{'provisioning_timeout':5,'urls':['" U "'],'ubuntu_sso_email':'a@b.com'," IOT "}", NULL,
     "8 by urls"},
    {"{'zapper_provisioning_timeout':5.5,'urls':['" U "']," IOT "}",
     "{'zapper_provisioning_timeout':5,'urls':['" U "']," IOT "}", NULL, "8 older name"},
    {"{'attachments':[{'agent':'a'}],'agent_ssh_access':0," IOT "}",
     "{'attachments':[{'agent':'a'}],'agent_ssh_access':false," IOT "}", NULL, "8 by attachment"},
    {"{'url':'" U "','attachments':[]," IOT "}", SAME, NULL, "8 an empty list counts as none"},
    {"{'provisioning_timeout':1,'zapper_provisioning_timeout':1,'url':'" U "'," IOT "}", INVALID,
     "8 both names"},
    {"{'attachments':[{'agent':'a'},{'agent':'b'}]," IOT "}", INVALID, "8 two attachments"},
    {"{'url':'" U "','urls':['" U "']," IOT "}", INVALID, "8 two sources"},
    {"{" IOT "}", INVALID, "8 no source"},
    {"{'urls':[]," IOT "}", INVALID, "8 no URL"},
    {"{'urls':['x']," IOT "}", INVALID, "8 bad URL"},
    {"{'url':'" U "','provision_plan':[]}", INVALID, "8 plan is no object"},
    {"{'url':'" U "','ubuntu_sso_email':'a'," IOT "}", INVALID, "8 bad email"},

    {"{'urls':['" U "'],'preset':'p','preset_kwargs':{'a':[]}}", SAME, NULL, "9 iot_preset"},
    {"{'zapper_provisioning_timeout':'7','urls':['" U "'],'preset':'p'}",
     "{'zapper_provisioning_timeout':7,'urls':['" U "'],'preset':'p'}", NULL, "9 older name"},
    {"{'attachments':[{'agent':'a'}],'agent_ssh_access':'y','preset':'p'}",
     "{'attachments':[{'agent':'a'}],'agent_ssh_access':true,'preset':'p'}", NULL,
     "9 by attachment"},
    {"{'urls':['" U "'],'preset':'p','ubuntu_sso_email':'a@b.com'}", INVALID, "9 no email"},
    {"{'preset':'p','preset_kwargs':{}}", INVALID, "9 no source"},

    {"{" KVM "}", SAME, NULL, "10 kvm_autoinstall"},
    {"{'provisioning_timeout':1," KVM ",'robot_retries':'2','autoinstall_storage_layout':'lvm',"
     "'ubuntu_sso_email':'a@b.com','autoinstall_base_user_data':'u','autoinstall_oem':'f',"
     "'cmdline_append':'c'}",
     "{'provisioning_timeout':1," KVM ",'robot_retries':2,'autoinstall_storage_layout':'lvm',"
     "'ubuntu_sso_email':'a@b.com','autoinstall_base_user_data':'u','autoinstall_oem':false,"
     "'cmdline_append':'c'}", NULL, "10 everything"},
    {"{'zapper_provisioning_timeout':1," KVM ",'autoinstall_storage_layout':'lvm'}", SAME, NULL,
     "10 older name"},
    {"{'url':'" U "','robot_tasks':[]}", SAME, NULL, "10 no tasks"},
    {"{'url':'" U "','robot_tasks':[1]}", INVALID, "10 task is no string"},

    {"{" KVM ",'live_image':'no','wait_until_ssh':1}",
     "{" KVM ",'live_image':false,'wait_until_ssh':true}", NULL, "11 kvm_generic"},
    {"{" KVM ",'live_image':true}", INVALID, "11 wait_until_ssh is missing"},
    {"{'zapper_provisioning_timeout':1," KVM ",'live_image':true,'wait_until_ssh':true}", SAME,
     NULL, "11 older name"},

    {"{'alloem_url':'" U "','robot_tasks':['t'],'robot_retries':'1','url':'" U "','oem':'o'}",
     "{'alloem_url':'" U "','robot_tasks':['t'],'robot_retries':1,'url':'" U "','oem':'o'}", NULL,
     "12 kvm_oem_2204"},
    {"{'alloem_url':'" U "'}", INVALID, "12 no tasks"},

    {"{'preset':'x'}", SAME, NULL, "13 kvm_preset"},
    {"{'zapper_provisioning_timeout':1,'preset':'x','robot_tasks':['a'],'live_image':'y'}",
     "{'zapper_provisioning_timeout':1,'live_image':true,'preset':'x','robot_tasks':['a']}", NULL,
     "13 older name"},
    {"{'alloem_url':'" U "','url':'" U "','autoinstall_base_user_data':'u','autoinstall_oem':true,"
     "'autoinstall_storage_layout':'l','cmdline_append':'c','live_image':true,'oem':'o',"
     "'preset':'x','robot_tasks':[],'ubuntu_sso_email':'a@localhost','wait_until_ssh':true}",
     SAME, NULL, "13 everything"},
    {"{'preset':'x','robot_retries':1}", INVALID, "13 no retries"},
    {"{'preset':5}", INVALID, "13 number"},
};

#define PHASES "setup, provision, firmware_update, test, allocate, reserve, cleanup."

static const struct row result_rows[] = {
    {"{}", SAME, NULL, "nothing"},
    {"{'job_state':'provision'}", SAME, NULL, "a state"},
    {"{'job_state':''}", SAME, NULL, "any text"},
    {"{'job_state':5}", NULL, NO_STRING("job_state"), "number"},
    {"{'status':{'setup':0,'test':'7'},'job_state':'complete'}",
     "{'status':{'setup':0,'test':7},'job_state':'complete'}", NULL, "status by phase"},
    {"{'status':{'cleanup':1,'reserve':1,'allocate':1,'test':1,'firmware_update':1,'provision':1,"
     "'setup':1}}", SAME, NULL, "all phases"},
    {"{'status':{'zz':0}}", NULL,
     "{'status':{'zz':{'key':['Must be one of: " PHASES "']}}}", "no phase"},
    {"{'status':{'Setup':'x'}}", NULL,
     "{'status':{'Setup':{'key':['Must be one of: " PHASES "'],'value':['Not a valid integer.']}}}",
     "case, value"},
    {"{'status':0}", NULL, "{'status':['Not a valid mapping type.']}", "number"},
    {"{'device_info':{'device_ip':'10.0.0.7','$x.y':null}}", SAME, NULL, "free"},
    {"{'device_info':[]}", NULL, "{'device_info':['Not a valid mapping type.']}", "list"},
    {"{'job_state':'complete','setup_output':'a\\u0000\\n','setup_status':'3','test_serial':''}",
     "{'setup_status':3,'setup_output':'a\\u0000\\n','test_serial':'','job_state':'complete'}",
     NULL, "as older agents post"},
    {"{'setup_status':1,'provision_status':1,'firmware_update_status':1,'test_status':1,"
     "'allocate_status':1,'reserve_status':1,'cleanup_status':1}", SAME, NULL, "status of phases"},
    {"{'setup_output':'','provision_output':'','firmware_update_output':'','test_output':'',"
     "'allocate_output':'','reserve_output':'','cleanup_output':''}", SAME, NULL, "output"},
    {"{'setup_serial':'','provision_serial':'','firmware_update_serial':'','test_serial':'',"
     "'allocate_serial':'','reserve_serial':'','cleanup_serial':''}", SAME, NULL, "serial"},
    {"{'test_status':'x'}", NULL, "{'test_status':['Not a valid integer.']}", "word"},
    {"{'test_output':5}", NULL, NO_STRING("test_output"), "number"},
    {"{'exit_code':0}", NULL, UNKNOWN("exit_code"), "unknown"},
    {"[]", NULL, "{'_schema':['Invalid input type.']}", "list"},
};

static const struct row kept_result_rows[] = {
    {"{'exit_code':0,'output':'foo','job_state':'x'}",
     "{'job_state':'x','exit_code':0,'output':'foo'}", NULL, "kept"},
    {"{'status':{'zz':0}}", NULL, "{'status':{'zz':{'key':['Must be one of: " PHASES "']}}}",
     "not below"},
    {"{'':1,'$set':1,'a.b':1}", SAME, NULL, "no paths of a database"},
    {"{'ok':1,'':1,'created_at':1,'attachments_status':1}", NULL,
     "{'created_at':['Unknown field.'],'attachments_status':['Unknown field.']}",
     "are the server's"},
};

static const struct row agent_rows[] = {
    {"{}", SAME, NULL, "nothing"},
    {"{'comment':'','state':'waiting','queues':['q'],'provision_type':'p','mode':'offline','log':['l'],"
     "'location':'l','job_id':'','identifier':'i'}",
     "{'identifier':'i','job_id':'','location':'l','log':['l'],'mode':'OFFLINE','provision_type':'p',"
     "'queues':['q'],'state':'waiting','comment':''}", NULL, "everything"},
    {"{'name':'a'}", NULL, UNKNOWN("name"), "the name is in the path"},
    {"{'queues':'q','log':[1]}", NULL,
     "{'log':{'0':['Not a valid string.']},'queues':['Not a valid list.']}", "types"},
    {"{'state':null}", NULL, "{'state':['Field may not be null.']}", "null"},
};

static const struct row action_rows[] = {
    {"{'action':'cancel'}", SAME, NULL, "as it is"},
    {"{'action':'Cancel'}", "{'action':'cancel'}", NULL, "as the document has it"},
    {"{'action':'CANCEL'}", "{'action':'cancel'}", NULL, "any case"},
    {"{'action':'stop'}", NULL, "{'action':['Must be one of: cancel.']}", "another"},
    {"{'action':''}", NULL, "{'action':['Must be one of: cancel.']}", "empty"},
    {"{'action':'cancel\\u0000'}", NULL, "{'action':['Must be one of: cancel.']}", "a NUL"},
    {"{'action':5}", NULL, NO_STRING("action"), "number"},
    {"{}", NULL, MISSING("action"), "missing"},
};

static const struct row fragment_rows[] = {
    {"{'log_data':'','phase':'test','timestamp':'1970-01-01T00:00:01Z','fragment_number':'-1'}",
     "{'fragment_number':-1,'timestamp':1000,'phase':'test','log_data':''}", NULL, "everything"},
    {"{}", NULL,
     "{'fragment_number':['Missing data for required field.'],"
     "'timestamp':['Missing data for required field.'],"
     "'phase':['Missing data for required field.'],"
     "'log_data':['Missing data for required field.']}", "nothing"},
    {"{'fragment_number':1,'timestamp':'zz','phase':'Test','log_data':5}", NULL,
     "{'timestamp':['Not a valid datetime.'],'phase':['Must be one of: " PHASES "'],"
     "'log_data':['Not a valid string.']}", "types"},
};

static const struct row provision_log_rows[] = {
    {"{'exit_code':'1','job_id':'any','detail':'d'}",
     "{'job_id':'any','exit_code':1,'detail':'d'}", NULL, "everything"},
    {"{'job_id':5}", NULL,
     "{'job_id':['Not a valid string.'],'exit_code':['Missing data for required field.']}",
     "types"},
};

static const struct row event_rows[] = {
    {"{'events':[{'detail':'d','timestamp':'t','event_name':'e'}],'job_status_webhook':'" U "',"
     "'job_queue':'q','agent_id':'a'}",
     "{'agent_id':'a','job_queue':'q','job_status_webhook':'" U "',"
     "'events':[{'event_name':'e','timestamp':'t','detail':'d'}]}", NULL, "everything"},
    {"{}", NULL, MISSING("job_status_webhook"), "nothing"},
    {"{'job_status_webhook':'http://mywebhook'}", NULL,
     "{'job_status_webhook':['Not a valid URL.']}", "no dot"},
    {"{'job_status_webhook':'" U "','events':[{'event_name':1}]}", NULL,
     "{'events':{'0':{'event_name':['Not a valid string.'],"
     "'timestamp':['Missing data for required field.']}}}", "an event"},
};
/* clang-format on */

static char *real_json(const char *text)
{
    char *json = strdup(text);

    for (char *c = json; *c; c++)
        *c = *c == '\'' ? '"' : *c == '`' ? '\'' : *c;
    return json;
}

/* Loads the row's body, put at `path` of a job unless that is NULL, and compares the texts. */
static void check(const struct schema *s, unsigned flags, const struct row *row, const char *field)
{
    const char *expected = row->errors ? row->errors : *row->loaded ? row->loaded : row->body;
    char *body = real_json(row->body), *wanted = real_json(expected), *got;
    json_t *in = json_loads(body, JSON_ALLOW_NUL | JSON_DECODE_ANY, NULL), *errors = NULL, *out;

    assert_non_null(in);
    if (field)
        in = json_pack("{s:s, s:o}", "job_queue", "q", field, in);
    out = schema_load(s, in, flags, &errors);
    assert_true(!out == !!errors);
    got = json_dumps(field ? json_object_get(out ? out : errors, field)
                     : out ? out
                           : errors,
                     JSON_COMPACT);
    if (!out != !!row->errors || !got || strcmp(got, wanted) != 0)
        fail_msg("%s: %s: got %s, expected %s", row->comment, body, got, wanted);
    json_decref(in);
    json_decref(out);
    json_decref(errors);
    free(got);
    free(body);
    free(wanted);
}

#define CHECK_ALL(schema, flags, rows)                                                             \
    for (size_t i = 0; i < COUNT(rows); i++)                                                       \
    check(schema, flags, &(rows)[i], NULL)

static void test_job(void **state)
{
    (void)state;
    CHECK_ALL(&schema_job, 0, job_rows);
    CHECK_ALL(&schema_secret, 0, secret_rows);
    CHECK_ALL(&schema_job, SCHEMA_KEEP_UNKNOWN, kept_job_rows);
}

/* Fields of a job one by one; job_queue and exclude_agents are added. */
static void test_job_fields(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(job_field_rows); i++) {
        const struct row *row = &job_field_rows[i];
        char *body = real_json(row->body);
        json_t *in = json_loads(body, JSON_ALLOW_NUL, NULL), *errors = NULL;
        char *wanted = real_json(row->errors    ? row->errors
                                 : *row->loaded ? row->loaded
                                                : row->body);

        json_object_set_new(in, "job_queue", json_string("q"));
        json_t *out = schema_load(&schema_job, in, 0, &errors);
        if (out) {
            json_object_del(out, "job_queue");
            json_object_del(out, "exclude_agents");
        }
        char *got = json_dumps(out ? out : errors, JSON_COMPACT);
        json_t *again = json_loads(wanted, JSON_ALLOW_NUL, NULL); /* the same way of escaping */
        char *expected = json_dumps(again, JSON_COMPACT);
        if (!out != !!row->errors || strcmp(got, expected) != 0)
            fail_msg("%s: %s: got %s, expected %s", row->comment, body, got, wanted);
        json_decref(again);
        json_decref(in);
        json_decref(out);
        json_decref(errors);
        free(expected);
        free(got);
        free(wanted);
        free(body);
    }
}

static void test_provision(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(provision_rows); i++)
        check(&schema_job, 0, &provision_rows[i], "provision_data");
}

static void test_result(void **state)
{
    (void)state;
    CHECK_ALL(&schema_result, 0, result_rows);
    CHECK_ALL(&schema_result, SCHEMA_KEEP_UNKNOWN, kept_result_rows);
}

static void test_others(void **state)
{
    (void)state;
    CHECK_ALL(&schema_agent, 0, agent_rows);
    CHECK_ALL(&schema_action, 0, action_rows);
    CHECK_ALL(&schema_log_fragment, 0, fragment_rows);
    CHECK_ALL(&schema_provision_log, 0, provision_log_rows);
    CHECK_ALL(&schema_events, 0, event_rows);
}

static void test_wants_attachments(void **state)
{
    static const struct {
        const char *data;
        bool wants;
        const char *comment;
    } rows[] = {
        {"{'job_queue':'q'}", false, "none"},
        {"{'test_data':{'test_cmds':'x'}}", false, "no attachments"},
        {"{'test_data':{'attachments':[]}}", true, "whatever the value"},
        {"{'firmware_update_data':{'attachments':null}}", true, "null"},
        {"{'my_data':{'attachments':1}}", true, "any name that ends in _data"},
        {"{'_data':{'attachments':1}}", true, "only the ending"},
        {"{'data':{'attachments':1}}", false, "another name"},
        {"{'test_data2':{'attachments':1}}", false, "another ending"},
        {"{'test_data':['attachments']}", false, "not an object"},
        {"{'provision_data':null}", false, "null"},
        {"{'test_data':{'x':{'attachments':1}}}", false, "too deep"},
        {"{}", false, "empty"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *text = real_json(rows[i].data);
        json_t *data = json_loads(text, 0, NULL);
        if (job_wants_attachments(data) != rows[i].wants)
            fail_msg("%s: %s", text, rows[i].comment);
        json_decref(data);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_job),       cmocka_unit_test(test_job_fields),
        cmocka_unit_test(test_provision), cmocka_unit_test(test_result),
        cmocka_unit_test(test_others),    cmocka_unit_test(test_wants_attachments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
